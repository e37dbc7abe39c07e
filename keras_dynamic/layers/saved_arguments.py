"""Saving and loading of layers by the arguments of their constructors."""

import inspect

import keras


class SavedArguments(keras.layers.Layer):
    """A layer whose get_config returns the arguments of its __init__, and of those it inherits, from its attributes.

    An argument is saved if the layer has an attribute of its name; layers are serialized, variables count as their
    present values. Override get_config for arguments that are stored in another way.
    """

    def get_config(self):
        """Returns the arguments, layers serialized and variables as their present values."""
        names = [
            name
            for kind in reversed(type(self).__mro__)
            if issubclass(kind, SavedArguments) and "__init__" in vars(kind)
            for name, parameter in inspect.signature(kind.__init__).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD or parameter.kind is parameter.KEYWORD_ONLY
        ]
        own = {name: _packed(getattr(self, name)) for name in names if name != "self" and hasattr(self, name)}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the layer from get_config()."""
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def _packed(value):
    if isinstance(value, keras.Variable):
        return float(keras.ops.convert_to_numpy(value))
    return keras.saving.serialize_keras_object(list(value) if isinstance(value, tuple) else value)
