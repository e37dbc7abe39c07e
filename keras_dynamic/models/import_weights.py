"""Weights from PyTorch-style .npz files and from keras.applications."""

import io
import os
import re
import zipfile
import zlib

import keras
import numpy as np

from keras_dynamic.files import read_arrays
from keras_dynamic.layers import DynamicModel, Residual
from keras_dynamic.messages import did_you_mean
from keras_dynamic.models.resnet import MODES, mode_of


def weights_by_layer(source) -> dict[str, list[np.ndarray]]:
    """Returns the weights of each layer of a model or a file: {layer name: arrays in the order of get_weights()}.

    Only arrays and names are read from a file: no code in it runs.

    Args:
        source: keras.Model, or the path of a .keras, .weights.h5 or .h5 file that Keras wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if source is neither, or the file is no such file or has no names of layers.
    """
    if isinstance(source, keras.Model):
        return {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"weights come from a Keras model or the path of its file, got {type(source).__name__} {source!r}; give "
            "e.g. keras.applications.ResNet50()."
        )
    if not os.path.exists(source):
        raise FileNotFoundError(f"no weights file at {source}; give the path of a .weights.h5, .h5 or .keras file.")
    import h5py

    try:
        with h5py.File(_archived(source), "r") as file:
            found = _of_keras_2(file) if "layer_names" in _root(file).attrs else _of_keras_3(file)
    # RuntimeError: h5py's, of an .h5 cut short.
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{source} is not a readable Keras file of weights ({error}); give a .weights.h5, .h5 or .keras file."
        ) from error
    if not found:
        raise ValueError(
            f"{source} has no names of layers, as files of early versions of Keras 3; load it into a model of "
            "keras.applications and give that."
        )
    return found


def _archived(path):
    """Returns the weights inside a .keras archive, or the path itself."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _root(file):
    return file.get("model_weights", file)


def _of_keras_2(file):
    """Returns the arrays of an .h5 file of Keras 2: a group per layer, with names in attributes."""
    root, found = _root(file), {}
    for layer in map(_text, root.attrs["layer_names"]):
        arrays = [root[layer][_text(name)][()] for name in root[layer].attrs["weight_names"]]
        if arrays:
            found[layer] = arrays
    return found


def _of_keras_3(file):
    """Returns the arrays of a .weights.h5 file: groups 'vars' of arrays '0', '1' ..., named in an attribute."""
    found = {}

    def read(path, group):
        if path.endswith("/vars") and "name" in group.attrs and len(group):
            found[_text(group.attrs["name"])] = [group[key][()] for key in sorted(group, key=int)]

    file.visititems(read)
    return found


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)


_NORM = ("weight", "bias", "running_mean", "running_var")
_UNIT = re.compile(r"stage(\d+)_unit(\d+)")
_DENSE_UNIT = re.compile(r"block(\d+)_unit(\d+)")
_TRANSITION = re.compile(r"transition(\d+)")


def import_resnet_cifar(model, path):
    """Loads PyTorch weights, an .npz of named arrays, into a resnet_cifar of basic blocks.

    Arrays: conv1.weight, bn1.*, layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}.*, linear.weight, linear.bias; convolutions
    (out, in, kh, kw), the classifier (out, in), batch norm weight, bias, running_mean, running_var.

    Args:
        model: resnet_cifar with basic blocks; it is built for 32x32 RGB images if it is not built yet.
        path: of the .npz file.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .npz, an array is missing or left over, a shape does not fit, or the model is no
            resnet_cifar of basic blocks; nothing is loaded then.
    """
    return _load(model, path, _resnet_plan)


def import_densenet_bc(model, path):
    """Loads PyTorch weights, an .npz of named arrays, into a densenet_bc; otherwise as import_resnet_cifar.

    Arrays: conv1.weight, dense{1,2,3}.{i}.{bn1,conv1,bn2,conv2}.*, trans{1,2}.{bn,conv}.*, bn.*, linear.weight,
    linear.bias.
    """
    return _load(model, path, _densenet_plan)


def _load(model, path, plan_of):
    """Loads the arrays of a file into the variables that plan_of(model) names, all of them or none."""
    arrays = _read(path)
    if not model.built:
        model.build((None, 32, 32, 3))
    plan = list(plan_of(model))
    names = [name for name, _, _ in plan]
    wrong = {
        "missing arrays": [name for name in names if name not in arrays],
        "extra arrays": [name for name in arrays if name not in names],
    }
    if found := _listed(wrong):
        raise ValueError(f"{path} does not fit {model.name!r}: {found}; build the model with the depth of the file.")
    values = [_fitted(arrays[name], name, variable, axes, path) for name, variable, axes in plan]
    for (_, variable, _), value in zip(plan, values, strict=True):
        variable.assign(value)
    return model


def _fitted(array, name, variable, axes, path):
    """Returns the array in the variable's layout, or raises a ValueError if its type or shape does not fit."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: array {name!r} must hold numbers, got {array.dtype}; give the file of the weights.")
    axes = tuple(range(len(variable.shape))) if axes is None else axes
    if array.ndim != len(axes) or array.transpose(axes).shape != tuple(variable.shape):
        needed = tuple(variable.shape[axes.index(axis)] for axis in range(len(axes)))
        raise ValueError(
            f"{path}: array {name!r} has shape {array.shape}, and the model needs {needed}; build the model with the "
            "width and classes of the file."
        )
    return array.transpose(axes)


def _listed(wrong):
    """Returns {what: names} as a text of the entries that have names, '' if none has."""
    entries = {
        what: ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3) for what, names in wrong.items()
    }
    return "; ".join(f"{what} {names}" for what, names in entries.items() if names)


def _read(path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weights file at {path}; give the path of an .npz file.")
    return read_arrays(path, "give one of weights, written by numpy.savez")


def _resnet_plan(model):
    """Yields (array name, variable, transposition) for every weight of a resnet_cifar's chain."""
    chain = model.chain
    places = [place for unit in chain.units if (place := _UNIT.fullmatch(unit.name))]
    if len(places) < len(chain.units) or any(len(_of(keras.layers.Conv2D, unit.body)) != 2 for unit in chain.units):
        raise ValueError(f"weights are imported into a resnet_cifar of basic blocks, and {model.name!r} is none.")
    yield from _pair(chain.stem, "conv1", "bn1", 0)
    for unit, place in zip(chain.units, places, strict=True):
        prefix = f"layer{int(place[1])}.{int(place[2]) - 1}"
        yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
        yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
    yield from _linear(chain.head)


def _densenet_plan(model):
    """Yields (array name, variable, transposition) for every weight of a densenet_bc's chain."""
    chain = model.chain
    if not all(_DENSE_UNIT.fullmatch(unit.name) or _TRANSITION.fullmatch(unit.name) for unit in chain.units):
        raise ValueError(f"weights are imported into a densenet_bc, and {model.name!r} is none.")
    yield from _kernel(chain.stem, "conv1", 0)
    for unit in chain.units:
        if dense := _DENSE_UNIT.fullmatch(unit.name):
            prefix = f"dense{int(dense[1])}.{int(dense[2]) - 1}"
            yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
            yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
        elif transition := _TRANSITION.fullmatch(unit.name):
            prefix = f"trans{int(transition[1])}"
            yield from _pair(unit, f"{prefix}.conv", f"{prefix}.bn", 0)
    yield from _norm(chain.head, "bn", 0)
    yield from _linear(chain.head)


def _pair(block, convolution, norm, position):
    yield from _kernel(block, convolution, position)
    yield from _norm(block, norm, position)


def _kernel(block, name, position):
    yield f"{name}.weight", _of(keras.layers.Conv2D, block)[position].kernel, (2, 3, 1, 0)


def _norm(block, name, position):
    layer = _of(keras.layers.BatchNormalization, block)[position]
    for part, variable in zip(_NORM, (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance), strict=True):
        yield f"{name}.{part}", variable, None


def _linear(head):
    dense = head.layers[-1]
    yield "linear.weight", dense.kernel, (1, 0)
    yield "linear.bias", dense.bias, None


_HEADS = ("predictions", "probs", "Logits")  # the later two in old files
_EPSILON = 1.001e-5
_VERSION_1 = "stride_on='first_1x1', bias=True, epsilon=1.001e-5, momentum=0.99, pixels='caffe'"


def import_keras_applications(network, source, mode=None):
    """Copies the weights of keras.applications' ResNet50, ResNet101, ResNet152 or MobileNetV2 into ours.

        network = kd.models.mobilenet_v2(0.35)
        kd.models.import_keras_applications(network, keras.applications.MobileNetV2(alpha=0.35))

    The network then returns, for pixel values 0 to 255, the logits whose softmax the model returns. A source without
    classifier (include_top=False) leaves the network's classifier as it is.

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
        ValueError: if the network is none of these or of the other version of ResNet, its stem normalizes pixels in
            another mode, or the source cannot be read or its layers or shapes do not fit; nothing is loaded then.
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
        theirs, ours = [[tuple(array.shape) for array in arrays] for arrays in (value, layer.get_weights())]
        if theirs != ours:
            raise ValueError(
                f"layer {name!r} of the weights has shapes {theirs}, and {network.name!r} needs {ours}; build it with "
                "the width and classes of the weights."
            )
    for (name, layer), value in zip(plan, values, strict=True):
        if name == first and mode == "caffe":  # trained on blue, green, red
            value = [value[0][:, :, ::-1], *value[1:]]
        layer.set_weights(value)
    return network


def _plan(network):
    """Returns the pixel mode of keras.applications for such a network, and [(its layer's name, our layer)]."""
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
    """Raises a ValueError unless the source has the layers of the plan; the classifier may be missing."""
    names = [name for name, _ in plan[:-1]]
    wrong = {
        "missing layers": [name for name in names if name not in arrays],
        "extra layers": [name for name in arrays if name not in (*names, *_HEADS)],
    }
    if found := _listed(wrong):
        raise ValueError(
            f"the weights do not fit {network.name!r}: {found}; give those of the same keras.applications model."
        )


def _check_version(network):
    """Raises a ValueError unless a ResNet is of keras.applications' version."""
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
    """Raises a ValueError unless the stem normalizes pixels in this mode."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {sorted(MODES)}, got {mode!r}{did_you_mean(mode, MODES)}.")
    first = network.chain.stem.layers[0]
    if mode_of(first) != mode:
        raise ValueError(
            f"the weights were trained on pixels of mode {mode!r}, and the stem of {network.name!r} starts with "
            f"{mode_of(first) or type(first).__name__!r}; build it with pixels={mode!r}, or give their mode=... ."
        )


def _of(kind, block):
    return [layer for layer in getattr(block, "layers", []) if isinstance(layer, kind)]
