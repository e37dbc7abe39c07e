"""Which rule counts which layer."""

from collections.abc import Callable

import keras

from keras_dynamic.cost.node import Node
from keras_dynamic.messages import near

_RULES: dict[type, Callable] = {}


def register(*layer_types: type):
    """Teaches `tree` to count layers of these types and their subclasses.

    The decorated function takes (layer, inputs) and returns the MACs of one call for one image: an int, or a Node if it
    has parts. inputs is the nest of keras.KerasTensor (or anything with a shape) that the layer is called with.

        @kd.cost.register(MyDense)
        def _(layer, inputs):
            return inputs.shape[-1] * layer.units

    Args:
        *layer_types: subclasses of keras.layers.Layer or keras.Operation.

    Returns:
        A decorator that returns the function unchanged.

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
    """Counts a layer or model.

    Args:
        layer: a Keras layer, model or operation whose type, or whose parent type, has a rule.
        inputs: nest of KerasTensor (or tensors) with the shapes it is called with, batch first; None takes those that a
            built model knows of itself.
        name: the node's name, the layer's own by default.

    Returns:
        Node, for one image.

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
            f"cost has no rule for layer {layer.name!r} of type {kind}{near(kind, known)}; "
            f"teach it with @keras_dynamic.cost.register({kind}): a function (layer, inputs) -> MACs."
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
        f"cost of {getattr(model, 'name', model)!r} needs its input shape, which an unbuilt model does not know; "
        "call it on an image first or give inputs=keras.KerasTensor(shape)."
    )
