"""Any Keras classifier, taken at its logits."""

import keras

from keras_dynamic.layers import DynamicModel

# Ends that leave logits logits: those that make them, and those that hand them on.
_MAKING = {"Dense", "Conv2D", "Add", "Average", "Subtract"}
_HANDING_ON = {
    *("Activation", "AveragePooling2D", "BatchNormalization", "Dropout", "Flatten", "GlobalAveragePooling2D"),
    *("Identity", "Mean", "Permute", "Rescaling", "Reshape", "Squeeze", "Transpose"),
}


def logits_model(network):
    """Returns the network itself if it ends in logits, or a model that ends before its softmax and shares its layers.

    Args:
        network: keras.Model, a classifier with one input and one output [batch, classes].

    Returns:
        keras.Model that gives logits.

    Raises:
        ValueError: if it ends in anything else than logits or a softmax, or its end cannot be seen.
    """
    if isinstance(network, DynamicModel):
        return network
    if not isinstance(network, keras.Model) or not getattr(network, "outputs", None):
        raise ValueError(
            f"a cascade takes functional, sequential or dynamic Keras models, got {type(network).__name__} "
            f"{getattr(network, 'name', network)!r}; wrap its layers in keras.Sequential or "
            "keras.Model(inputs, outputs)."
        )
    if len(network.outputs) != 1 or len(network.inputs) != 1:
        raise ValueError(
            f"network {network.name!r} must have one input and one output, got {len(network.inputs)} and "
            f"{len(network.outputs)}."
        )
    last, before = _origin(network.outputs[0])
    if isinstance(last, keras.Model):
        inner = logits_model(last)
        return network if inner is last else keras.Model(network.inputs[0], inner(before), name=network.name)
    if _function(last) == "softmax":
        logits = before if type(last).__name__ in ("Softmax", "Activation") else _linear_twin(last, before)(before)
        return keras.Model(network.inputs[0], logits, name=network.name)
    _check_linear(network, last, before)
    return network


def _origin(tensor):
    """Returns the operation that made a symbolic tensor in its own graph, and that operation's first input."""
    history = tensor._keras_history  # Keras offers no public way back from a tensor to the layer that made it
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, next(iter(node.input_tensors), None)


def _function(operation):
    """Returns the name of the non-linear function that an operation ends with, or None."""
    kind = type(operation).__name__
    if kind not in _MAKING | _HANDING_ON and not hasattr(operation, "activation"):
        return kind.lower()
    name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return None if name == "linear" else name


def _check_linear(network, last, before):
    """Raises unless the network's last operation gives logits."""
    found = last
    while type(found).__name__ in _HANDING_ON and _function(found) is None and before is not None:
        found, before = _origin(before)
    # A feature map may have any function before it is pooled to logits; probabilities have theirs last.
    wrong = last if _function(last) else found if _function(found) in ("softmax", "sigmoid") else None
    if wrong is None:
        return
    ending = f"{type(wrong).__name__} {wrong.name!r}"
    if hasattr(wrong, "activation"):
        ending += f" with activation {_function(wrong)!r}"
    after = "" if wrong is last else f", handed on by {type(last).__name__} {last.name!r}"
    raise ValueError(
        f"network {network.name!r} ends in {ending}{after}; "
        "a cascade needs logits (a linear end) or a softmax over them."
    )


def _linear_twin(layer, before):
    """Returns the layer with its weights and no activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build(before.shape)
    twin.set_weights(layer.get_weights())
    return twin
