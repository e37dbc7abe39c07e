"""MACs per layer type: the registry of rules, and the rules of Keras' own layers."""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from keras_dynamic import keras_hooks
from keras_dynamic.cost.nodes import Node
from keras_dynamic.messages import did_you_mean

_RULES: dict[type, Callable] = {}


def register(*layer_types: type):
    """Registers a rule by which `tree` counts layers of these types and their subclasses.

    A decorator, which returns the function unchanged. The function takes (layer, inputs) and returns the MACs of one
    call for one image: an int, or a Node if it has parts. inputs is the nest of keras.KerasTensor (or anything with a
    shape) that the layer is called with.

        @kd.cost.register(MyDense)
        def _(layer, inputs):
            return inputs.shape[-1] * layer.units

    Args:
        *layer_types: subclasses of keras.layers.Layer or keras.Operation.

    Raises:
        TypeError: if an argument is not a class.
    """
    for layer_type in layer_types:
        if not isinstance(layer_type, type):
            raise TypeError(f"register takes layer classes, got {layer_type!r}; use it as @register(MyLayer).")

    def decorate(rule):
        for layer_type in layer_types:
            _RULES[layer_type] = rule
        return rule

    return decorate


def output_spec(layer, inputs):
    """Returns the nest of KerasTensor that the layer gives for inputs of these specs."""
    return keras.tree.map_structure(
        lambda spec: keras.KerasTensor(spec.shape, dtype=spec.dtype), layer.compute_output_spec(inputs)
    )


def tree(layer, inputs=None, name: str | None = None) -> Node:
    """Returns the Node of a layer or model, for one image.

    Args:
        layer: a Keras layer, model or operation whose type, or whose parent type, has a rule.
        inputs: nest of KerasTensor (or tensors) with the shapes it is called with, batch first; None takes those that a
            built model was built for.
        name: the node's name, the layer's own by default.

    Raises:
        ValueError: if a layer has no rule (the message says how to register one), if sizes that cost depends on are
            unknown, or if inputs are missing and the model is not built.
    """
    if inputs is None:
        inputs = _own_inputs(layer)
    rule = next((_RULES[kind] for kind in type(layer).__mro__ if kind in _RULES), None)
    if rule is None:
        kind, known = type(layer).__name__, [registered.__name__ for registered in _RULES]
        raise ValueError(
            f"cost has no rule for layer {layer.name!r} of type {kind}{did_you_mean(kind, known)}; "
            f"register one with @keras_dynamic.cost.register({kind}): a function (layer, inputs) -> MACs."
        )
    try:
        counted = rule(layer, inputs)
    except TypeError as error:
        if any(None in spec.shape[1:] for spec in keras.tree.flatten(inputs)):
            shapes = [tuple(spec.shape) for spec in keras.tree.flatten(inputs)]
            raise ValueError(
                f"cost of layer {layer.name!r} needs known sizes, got input shapes {shapes}; "
                "build with a fixed image size."
            ) from error
        raise
    if isinstance(counted, Node):
        return counted if name is None else counted._replace(name=name)
    parameters = layer.count_params() if isinstance(layer, keras.layers.Layer) and layer.built else 0
    return Node(name or layer.name, int(counted), parameters)


def _own_inputs(model):
    """Returns the input specs that a functional or built model carries."""
    specs = getattr(model, "inputs", None)
    if specs:
        return specs[0] if len(specs) == 1 else specs
    shape = getattr(model, "image_shape", None)
    if shape is not None:
        return keras.KerasTensor(shape)
    raise ValueError(
        f"cost of {getattr(model, 'name', model)!r} needs its input shape, which an unbuilt model does not have; "
        "call it on an image first or give inputs=keras.KerasTensor(shape)."
    )


@register(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _convolution(layer, inputs):
    """Output positions x filters x kernel size x input channels of the group; Source: S1.4 of Herrmann et al."""
    channels_last = layer.data_format == "channels_last"
    shape = output_spec(layer, inputs).shape[1:]
    positions = math.prod(shape[:-1] if channels_last else shape[1:])
    channels = inputs.shape[-1 if channels_last else 1] // layer.groups
    return positions * layer.filters * math.prod(layer.kernel_size) * channels


@register(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed_convolution(layer, inputs):
    """Input positions x kernel size x input channels x filters."""
    return math.prod(inputs.shape[1:]) * math.prod(layer.kernel_size) * layer.filters


@register(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise_convolution(layer, inputs):
    return math.prod(output_spec(layer, inputs).shape[1:]) * math.prod(layer.kernel_size)


@register(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable_convolution(layer, inputs):
    shape = output_spec(layer, inputs).shape[1:]
    channels_last = layer.data_format == "channels_last"
    positions = math.prod(shape[:-1] if channels_last else shape[1:])
    deep = inputs.shape[-1 if channels_last else 1] * layer.depth_multiplier
    return positions * deep * (math.prod(layer.kernel_size) + layer.filters)


@register(layers.Dense)
def _dense(layer, inputs):
    return math.prod(inputs.shape[1:]) * layer.units


_GATES = {layers.LSTMCell: 4, layers.GRUCell: 3, layers.SimpleRNNCell: 1}


@register(layers.LSTM, layers.GRU, layers.SimpleRNN)
def _recurrent(layer, inputs):
    """Steps x the cell's; an unrolled layer does not multiply its first step's state of zeros."""
    sequence, *initial = keras.tree.flatten(inputs)
    _, steps, features = sequence.shape
    zeros = layer.unroll and not initial
    return steps * _cell(layer.cell, keras.KerasTensor((None, features))) - zeros * _cell(
        layer.cell, keras.KerasTensor((None, 0))
    )


@register(*_GATES)
def _cell(cell, inputs):
    """One step: gates x units x (input features + units), 4 gates of an LSTM, 3 of a GRU, 1 of a SimpleRNN."""
    gates = next(count for kind, count in _GATES.items() if isinstance(cell, kind))
    features = keras.tree.flatten(inputs)[0].shape[-1]  # the state follows
    return gates * cell.units * (features + cell.units)


@register(layers.MultiHeadAttention, layers.GroupQueryAttention)
def _attention_with_weights(layer, inputs):
    """Projections of query, key, value and output, and for each head the scores and the mean of values they weigh.

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    config = layer.get_config()
    query, value, *rest = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
    key = rest[0] if rest else value
    heads = config.get("num_heads") or config["num_query_heads"]
    key_heads = config.get("num_key_value_heads", heads)
    size = config.get("key_dim") or config["head_dim"]
    value_size = config.get("value_dim") or size
    asked, known = math.prod(query.shape[1:-1]), math.prod(value.shape[1:-1])
    out = math.prod(np.atleast_1d(config.get("output_shape") or query.shape[-1]).tolist())
    projected = asked * query.shape[-1] * heads * size
    projected += known * key_heads * (key.shape[-1] * size + value.shape[-1] * value_size)
    return projected + heads * asked * known * (size + value_size) + asked * heads * value_size * out


@register(layers.Attention)
def _attention(layer, inputs):
    """Scores and the mean of values that they weigh: queries x values x (key size + value size)."""
    query, value, *rest = inputs
    key = rest[0] if rest else value
    if layer.score_mode == "concat":
        raise ValueError(
            f"cost has no rule for the additive scores of {layer.name!r}; take score_mode='dot', or register a rule."
        )
    return query.shape[1] * value.shape[1] * (key.shape[-1] + value.shape[-1])


@register(layers.EinsumDense)
def _einsum_dense(layer, inputs):
    """Each weight once for every output that it has a part in: the product of all sizes of the equation."""
    left, _ = layer.equation.replace(" ", "").split("->")
    terms = left.split(",")
    given = {**_axes(terms[0], inputs.shape), **_axes(terms[1], layer.kernel.shape)}
    return math.prod(size for axis, size in given.items() if size is not None)


def _axes(term, shape):
    """Returns {letter: size} of a term of an einsum; those under an ellipsis get numbers."""
    before, _, after = term.partition("...")
    letters = [*before, *range(len(shape) - len(before) - len(after)), *after]
    return dict(zip(letters, shape, strict=True))


@register(keras_hooks.operations()["Matmul"])
def _matrix_product(operation, inputs):
    x, y = inputs
    rows = x.shape[-2] if len(x.shape) > 1 else 1
    columns = y.shape[-1] if len(y.shape) > 1 else 1
    many = math.prod(max(sizes) for sizes in zip(_batch(x, y), _batch(y, x), strict=True))
    return many * rows * x.shape[-1] * columns


def _batch(x, y):
    """Returns the sizes of x before the last two axes and after the batch, as many as the larger of x and y has."""
    own = [size or 1 for size in x.shape[:-2]][1 if len(x.shape) > 2 else 0 :]
    return [1] * (max(len(x.shape), len(y.shape), 3) - 3 - len(own)) + own


@register(layers.Bidirectional)
def _both_ways(layer, inputs):
    return Node(layer.name, children=(tree(layer.forward_layer, inputs), tree(layer.backward_layer, inputs)))


@register(layers.TimeDistributed)
def _each_step(layer, inputs):
    """The layer inside, once for each step."""
    step = keras.KerasTensor((inputs.shape[0], *inputs.shape[2:]), dtype=inputs.dtype)
    inner = tree(layer.layer, step)
    return Node(layer.name, inputs.shape[1] * inner.total_macs, inner.total_parameters)


_FREE_LAYERS = (
    "Activation ReLU LeakyReLU PReLU ELU Softmax BatchNormalization LayerNormalization GroupNormalization "
    "RMSNormalization UnitNormalization Normalization Rescaling Dropout AlphaDropout SpatialDropout1D "
    "SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout ActivityRegularization AveragePooling1D "
    "AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D GlobalAveragePooling1D "
    "GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D "
    "ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D "
    "UpSampling3D Resizing Discretization CenterCrop RandomCrop RandomFlip RandomTranslation RandomRotation RandomZoom "
    "RandomContrast RandomBrightness Flatten Reshape Permute RepeatVector Add Subtract Multiply Average Maximum "
    "Minimum Concatenate InputLayer Identity Embedding Masking"
).split()
_FREE_OPERATIONS = (
    "Abs Absolute Add Amax Amin AveragePool BroadcastTo Cast Clip Concatenate Divide Elu Equal Exp ExpandDims Flip "
    "Gelu GetItem Greater GreaterEqual HardSigmoid HardSilu HardTanh LeakyRelu Less LessEqual Log Log1p LogicalAnd "
    "LogicalNot LogicalOr LogicalXor LogSoftmax Max MaxPool Maximum Mean Min Minimum Moveaxis Multiply Negative "
    "NotEqual Pad Power Reciprocal Relu Relu6 Repeat Reshape Round Rsqrt Selu Sigmoid Silu Softmax Softplus "
    "Softsign Split Sqrt Square Squeeze Stack Std StopGradient Subtract Sum Swapaxes Tanh Tile Transpose TrueDivide "
    "Unstack Var Where"
).split()


def _register_free():
    """Registers what has no multiply-adds of its own: element-wise, normalisation, pooling and shape layers."""
    kinds = [getattr(layers, name) for name in _FREE_LAYERS]
    found = keras_hooks.operations()
    kinds += [found[name] for name in _FREE_OPERATIONS]
    kinds += keras_hooks.layers_of_convnext()
    register(*kinds)(lambda layer, inputs: 0)


_register_free()


@register(keras.Sequential)
def _sequential(model, inputs):
    children = []
    for layer in model.layers:
        children.append(tree(layer, inputs))
        inputs = output_spec(layer, inputs)
    return Node(model.name, children=count_once(children, model.layers))


@register(keras.Model)
def _functional(model, inputs):
    """Walks the graph of a functional model; a layer called twice costs its MACs twice and its parameters once."""
    if not keras_hooks.has_graph(model):
        kind = type(model).__name__
        raise ValueError(
            f"cost cannot analyse the call method of model {model.name!r} of type {kind}; build it as a functional "
            f"or sequential model, or register a rule with @keras_dynamic.cost.register({kind})."
        )
    given = keras.tree.flatten(inputs)
    known = dict(zip(map(id, model.inputs), given, strict=True))
    as_built = all(mine.shape[1:] == spec.shape[1:] for mine, spec in zip(model.inputs, given, strict=True))
    children, operations = [], []
    for node in keras_hooks.graph_nodes(model):
        args, kwargs = substituted((node.arguments.args, node.arguments.kwargs), known)
        taken = [value for value in (*args, *kwargs.values()) if tensors_of(value)]
        children.append(tree(node.operation, taken[0] if len(taken) == 1 else taken))
        operations.append(node.operation)
        made = node.outputs if as_built else tensors_of(node.operation.compute_output_spec(*args, **kwargs))
        known.update(zip(map(id, node.outputs), made, strict=True))
    return Node(model.name, children=count_once(children, operations))


def tensors_of(value):
    """Returns the KerasTensors in a nest, in order."""
    return [leaf for leaf in keras.tree.flatten(value) if isinstance(leaf, keras.KerasTensor)]


def substituted(arguments, known):
    """Returns a nest of arguments with those of its KerasTensors replaced whose id is in `known`."""
    return keras.tree.map_structure(
        lambda value: known.get(id(value), value) if isinstance(value, keras.KerasTensor) else value, arguments
    )


def count_once(nodes, layers_called):
    """Returns the nodes, a tuple, with the parameters of a layer that is called again set to 0.

    Args:
        nodes: Node per call.
        layers_called: the layer of each call.
    """
    seen: set[int] = set()
    result = []
    for node, layer in zip(nodes, layers_called, strict=True):
        result.append(_without_parameters(node) if id(layer) in seen else node)
        seen.add(id(layer))
    return tuple(result)


def _without_parameters(node):
    return node._replace(parameters=0, children=tuple(map(_without_parameters, node.children)))
