"""Whether layers and models end in logits or in a function of them, such as a softmax, which can be taken off."""

import keras

from keras_dynamic import keras_hooks

# Operations whose outputs are logits: those that compute them, besides layers with an activation, and those that pass
# them on.
_MAKING = {"Add", "Average", "Subtract"}
_HANDING_ON = {
    *("Activation", "BatchNormalization", "CenterCrop", "Dropout", "Flatten", "Identity", "InputLayer", "Mean"),
    *("Permute", "Rescaling", "Reshape", "Resizing", "Squeeze", "Transpose"),
    *(
        f"{kind}{n}D"
        for kind in ("AveragePooling", "Cropping", "GlobalAveragePooling", "UpSampling")
        for n in (1, 2, 3)
    ),
}
_PROBABILITIES = ("softmax", "sigmoid", "log_softmax", "logsoftmax")


def check_logits(layer, what):
    """Raises a ValueError if layers end in probabilities.

    Args:
        layer: Keras layer or model, or a list of them that follow one another.
        what: whose end it is, for the error.
    """
    for last in backwards(layer):
        function = function_of(last)
        if function in _PROBABILITIES:
            raise ValueError(
                f"{what} must end in logits, got {described(last)}, a {function}; leave it out: losses and decisions "
                "take logits, e.g. compile(loss=SparseCategoricalCrossentropy(from_logits=True))."
            )
        if not hands_on(last):
            return


def logits_model(network, functions=("softmax", "sigmoid")) -> keras.Model:
    """Returns a network that ends in logits: the given one, or one that shares its layers without the last function.

    Args:
        network: functional or sequential keras.Model with one input and one output; a DynamicModel ends in logits.
        functions: names of the functions that are taken off the end.

    Returns:
        keras.Model that returns logits. A layer whose activation is such a function is copied without it.

    Raises:
        ValueError: if it is no such model, or ends in anything else than logits or one of the functions over them.
    """
    if hasattr(network, "chain"):  # a dynamic model
        return network
    if not isinstance(network, keras.Model) or not getattr(network, "outputs", None):
        raise ValueError(
            f"a network must be a functional, sequential or dynamic Keras model, got {type(network).__name__} "
            f"{getattr(network, 'name', network)!r}; wrap its layers in keras.Sequential or "
            "keras.Model(inputs, outputs)."
        )
    if len(network.outputs) != 1 or len(network.inputs) != 1:
        raise ValueError(
            f"network {network.name!r} must have one input and one output, got {len(network.inputs)} and "
            f"{len(network.outputs)}."
        )
    last, before = keras_hooks.origin(network.outputs[0])
    if isinstance(last, keras.Model):
        inner = logits_model(last, functions)
        return network if inner is last else keras.Model(network.inputs[0], inner(before), name=network.name)
    end = next(backwards(last)) if isinstance(last, keras.layers.TimeDistributed) else last
    if function_of(end) in functions:
        twin = _linear_twin(last, before, functions)
        return keras.Model(network.inputs[0], before if twin is None else twin(before), name=network.name)
    found = next((each for each in backwards(network) if not hands_on(each)), last)
    # A feature map may have any function before it is pooled to logits; probabilities have theirs last.
    wrong = end if function_of(end) else found if function_of(found) in _PROBABILITIES else None
    if wrong is None:
        return network
    after = "" if wrong is end else f", handed on by {type(last).__name__} {last.name!r}"
    raise ValueError(
        f"network {network.name!r} ends in {described(wrong)}{after}; it must end in logits (a linear end) or in a "
        f"{' or '.join(functions)} over them; of a regression, leave the function out and apply it in the loss."
    )


def _linear_twin(layer, before, functions):
    """Returns the layer with its weights and without the function that it ends in, None if it is nothing else."""
    if type(layer).__name__ in ("Softmax", "Sigmoid", "Activation"):
        return None
    if isinstance(layer, keras.layers.TimeDistributed):
        step = keras.KerasTensor((before.shape[0], *before.shape[2:]), dtype=before.dtype)
        model = isinstance(layer.layer, keras.Model)
        inner = logits_model(layer.layer, functions) if model else _linear_twin(layer.layer, step, functions)
        return None if inner is None else type(layer)(inner, name=layer.name, dtype=layer.dtype_policy)
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build(before.shape)
    twin.set_weights(layer.get_weights())
    return twin


def backwards(layer):
    """Yields the operations of a layer, a model, or a list of them, from the last one on, along first inputs."""
    if isinstance(layer, (list, tuple)):
        for each in reversed(layer):
            yield from backwards(each)
    elif hasattr(layer, "chain"):  # a dynamic model
        yield from backwards([layer.chain.stem, *layer.chain.units, layer.chain.head])
    elif isinstance(layer, keras.Sequential):
        yield from backwards(layer.layers)
    elif isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        before = layer.outputs[0]
        while before is not None:
            operation, before = keras_hooks.origin(before)
            yield from backwards(operation)
    elif isinstance(getattr(layer, "head", None), keras.layers.Layer):
        yield from backwards(layer.head)
    elif isinstance(layer, keras.layers.TimeDistributed):
        yield from backwards(layer.layer)
    else:
        yield layer


def function_of(operation):
    """Returns the name of the non-linear function that an operation ends with, or None."""
    kind = type(operation).__name__
    if kind not in _MAKING | _HANDING_ON and not hasattr(operation, "activation"):
        return kind.lower()
    name = getattr(getattr(operation, "activation", None), "__name__", "linear")
    return None if name == "linear" else name


def hands_on(operation) -> bool:
    """Returns whether an operation gives logits if its input is logits."""
    return type(operation).__name__ in _HANDING_ON and function_of(operation) is None


def described(operation) -> str:
    """Returns an operation's type, name and activation, for errors."""
    activation = f" with activation {function_of(operation)!r}" if hasattr(operation, "activation") else ""
    return f"{type(operation).__name__} {operation.name!r}{activation}"
