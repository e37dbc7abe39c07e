"""Checks whether layers and models end in logits or in a function of them, such as a softmax."""

import keras

from keras_dynamic import keras_hooks

# Operations whose outputs are logits: those that compute them, and those that pass them on.
_MAKING = {"Dense", "Conv2D", "Add", "Average", "Subtract"}
_HANDING_ON = {
    *("Activation", "AveragePooling2D", "BatchNormalization", "Dropout", "Flatten", "GlobalAveragePooling2D"),
    *("Identity", "InputLayer", "Mean", "Permute", "Rescaling", "Reshape", "Squeeze", "Transpose"),
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
