"""A classifier attached to a chain before its end."""

import keras

from keras_dynamic.cost import Node, register, tree


@keras.saving.register_keras_serializable("keras_dynamic")
class Exit(keras.layers.Layer):
    """A head on x, or on a leaf of it, after a named unit.

    Args:
        head: Keras layer (or list of layers) that gives logits.
        after: name of the unit after which it reads x.
        leaf: key of the leaf that it reads if x is a dictionary, None for x itself.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet; IMTA, section 3.
    """

    def __init__(self, head, after, leaf=None, **kwargs):
        super().__init__(**kwargs)
        self.head = keras.Sequential(list(head)) if isinstance(head, (list, tuple)) else head
        self.after, self.leaf = after, leaf

    def call(self, x, training=None):
        """Returns logits, [batch, classes]."""
        return self.head(x if self.leaf is None else x[self.leaf], training=training)

    def get_config(self):
        """Returns the arguments, the head serialized."""
        head = keras.saving.serialize_keras_object(self.head)
        return {**super().get_config(), "head": head, "after": self.after, "leaf": self.leaf}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the exit from get_config()."""
        return cls(**{**config, "head": keras.saving.deserialize_keras_object(config["head"])})


@register(Exit)
def _cost(layer, inputs):
    head = tree(layer.head, inputs if layer.leaf is None else inputs[layer.leaf])
    return Node(layer.name, children=(head,), exit=True)
