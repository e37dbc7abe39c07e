"""Import of the weights of keras.applications' ResNets and MobileNetV2."""

import re

import keras

from keras_dynamic.layers import DynamicModel, Residual
from keras_dynamic.messages import near
from keras_dynamic.models.pixels import MODES, mode_of
from keras_dynamic.models.weights_by_layer import weights_by_layer

_UNIT = re.compile(r"stage(\d+)_unit(\d+)")
_HEADS = ("predictions", "probs", "Logits")  # the later two in old files
_EPSILON = 1.001e-5
_VERSION_1 = "stride_on='first_1x1', bias=True, epsilon=1.001e-5, momentum=0.99, pixels='caffe'"


def import_keras_applications(network, source, mode=None):
    """Copies the weights of keras.applications' ResNet50, ResNet101, ResNet152 or MobileNetV2 into ours.

        network = kd.models.mobilenet_v2(0.35)
        kd.models.import_keras_applications(network, keras.applications.MobileNetV2(alpha=0.35))

    The network then gives the logits whose softmax the model gives, from pixel values 0 to 255. A source without
    classifier (include_top=False) leaves the network's as it is.

    Args:
        network: resnet50 or resnet101 of version 1, resnet50(stride_on='first_1x1', bias=True, epsilon=1.001e-5,
            momentum=0.99, pixels='caffe'), or mobilenet_v2; it is built for the model's images, or 224x224, if it is
            not built yet.
        source: the model, or the path of its .weights.h5, .h5 or .keras file.
        mode: of preprocess_input, with which the weights were trained; None is keras.applications' own, 'caffe' for
            ResNets and 'tf' for MobileNetV2.

    Returns:
        The network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the network is none of these or of the other version of ResNet, its stem gives pixels of another
            mode, or the source cannot be read, lacks a layer, has one too many or of another shape; nothing is loaded
            then.
    """
    if not isinstance(network, DynamicModel):
        raise ValueError(
            "weights of keras.applications are imported into a resnet50, resnet101 or mobilenet_v2, got "
            f"{type(network).__name__} {network!r}; give the network first, then the weights."
        )
    arrays = weights_by_layer(source)
    if not network.built:
        shape = source.input_shape[1:] if isinstance(source, keras.Model) else ()
        network.build((None, *(shape if len(shape) == 3 and None not in shape else (224, 224, 3))))
    own_mode, plan = _plan(network)
    mode = own_mode if mode is None else mode
    _check_layers(network, plan, arrays)
    if own_mode == "caffe":
        _check_version(network)
    _check_mode(network, mode)
    head, first = plan[-1][1], plan[0][0]
    given = next((arrays[name] for name in _HEADS if name in arrays), head.get_weights())
    values = [*(arrays[name] for name, _ in plan[:-1]), given]
    for (name, layer), value in zip(plan, values, strict=True):
        _check_shapes(network, name, layer, value)
    for (name, layer), value in zip(plan, values, strict=True):
        if name == first and mode == "caffe":  # trained on blue, green, red
            value = [value[0][:, :, ::-1], *value[1:]]
        layer.set_weights(value)
    return network


def _plan(network):
    """Returns the mode in which keras.applications trains such a network, and [(its layer's name, our layer)]."""
    parts = _mobilenet_parts(network) or _resnet_parts(network)
    pairs: list[tuple[str, keras.layers.Layer]] = []
    for names, block in parts:
        weighted = [layer for layer in getattr(block, "layers", []) if layer.weights]
        if len(weighted) != len(names):
            parts = []
            break
        pairs += zip(names, weighted, strict=True)
    if not parts:
        raise ValueError(
            "weights of keras.applications are imported into a resnet50, resnet101 or mobilenet_v2, and "
            f"{network.name!r} is none; give one of these."
        )
    return ("tf" if pairs[0][0] == "Conv1" else "caffe"), pairs


def _resnet_parts(network):
    """Returns [(names of keras.applications, block of our layers)], [] for other networks."""
    chain = network.chain
    parts = [(["conv1_conv", "conv1_bn"], chain.stem)]
    for unit in chain.units:
        place = _UNIT.fullmatch(unit.name)
        if place is None or not isinstance(unit, Residual):
            return []
        prefix = f"conv{int(place[1]) + 1}_block{place[2]}"
        if unit.shortcut is not None:
            parts.append(([f"{prefix}_0_conv", f"{prefix}_0_bn"], unit.shortcut))
        parts.append(([f"{prefix}_{index}_{kind}" for index in (1, 2, 3) for kind in ("conv", "bn")], unit.body))
    return [*parts, (["predictions"], chain.head)]


def _mobilenet_parts(network):
    """Returns [(names of keras.applications, block of our layers)], [] for other networks."""
    chain = network.chain
    blocks = [getattr(unit, "body", unit) for unit in chain.units]
    if not all(_of(keras.layers.DepthwiseConv2D, block) for block in blocks):
        return []
    parts = [(["Conv1", "bn_Conv1"], chain.stem)]
    for index, block in enumerate(blocks):
        steps = ("expand", "depthwise", "project") if index else ("depthwise", "project")
        prefix = f"block_{index}" if index else "expanded_conv"
        parts.append(([f"{prefix}_{step}{kind}" for step in steps for kind in ("", "_BN")], block))
    return [*parts, (["Conv_1", "Conv_1_bn", "predictions"], chain.head)]


def _check_layers(network, plan, arrays):
    """Raises if the source's layers are others than those of the plan; of a classifier there may be none."""
    names = [name for name, _ in plan[:-1]]
    wrong = {
        "lack": [name for name in names if name not in arrays],
        "have besides": [name for name in arrays if name not in (*names, *_HEADS)],
    }
    if any(wrong.values()):
        found = " and ".join(f"{kind} {_few(listed)}" for kind, listed in wrong.items() if listed)
        raise ValueError(
            f"the weights do not fit {network.name!r}: they {found}; give those of the same keras.applications model."
        )


def _check_version(network):
    """Raises if a ResNet is not of keras.applications' version."""
    convolutions, norms, strides = _of(keras.layers.Conv2D, network.chain.stem), [], []
    for unit in network.chain.units:
        for block in (unit.body, unit.shortcut):
            convolutions += _of(keras.layers.Conv2D, block)
            norms += _of(keras.layers.BatchNormalization, block)
        if unit.shortcut is not None:
            both = [_of(keras.layers.Conv2D, block)[0].strides for block in (unit.body, unit.shortcut)]
            strides.append(both[0] == both[1])
    wrong = {
        "its strides in the 3x3": not all(strides),
        "no biases": not all(layer.use_bias for layer in convolutions),
        "another epsilon": any(layer.epsilon != _EPSILON for layer in norms),
    }
    if any(wrong.values()):
        found = ", ".join(name for name, is_so in wrong.items() if is_so)
        raise ValueError(
            f"the weights are of keras.applications' version 1 of ResNet, and {network.name!r} is another, with "
            f"{found}; build it with {_VERSION_1}."
        )


def _check_mode(network, mode):
    """Raises if the stem gives pixels of another mode."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {sorted(MODES)}, got {mode!r}{near(mode, MODES)}.")
    first = network.chain.stem.layers[0]
    if mode_of(first) != mode:
        raise ValueError(
            f"the weights were trained on pixels of mode {mode!r}, and the stem of {network.name!r} starts with "
            f"{mode_of(first) or type(first).__name__!r}; build it with pixels={mode!r}, or say the weights' mode=... ."
        )


def _check_shapes(network, name, layer, value):
    """Raises if a layer's arrays have other shapes than ours."""
    theirs, ours = [[tuple(array.shape) for array in arrays] for arrays in (value, layer.get_weights())]
    if theirs != ours:
        raise ValueError(
            f"layer {name!r} of the weights has shapes {theirs}, and {network.name!r} needs {ours}; build it with the "
            "width and classes of the weights."
        )


def _of(kind, block):
    return [layer for layer in getattr(block, "layers", []) if isinstance(layer, kind)]


def _few(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
