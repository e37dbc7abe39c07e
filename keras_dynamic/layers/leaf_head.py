"""The head of a chain whose x is a dictionary."""

import keras

from keras_dynamic.cost import Node, register, tree


@keras.saving.register_keras_serializable("keras_dynamic")
class LeafHead(keras.layers.Layer):
    """A head on one leaf of x: the end of a chain as Exit is its side.

    Args:
        head: Keras layer (or list of layers) that gives logits.
        leaf: key of the leaf that it reads.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, head, leaf, **kwargs):
        super().__init__(**kwargs)
        self.head = keras.Sequential(list(head)) if isinstance(head, (list, tuple)) else head
        self.leaf = leaf

    def call(self, x, training=None):
        """Returns logits, [batch, classes]."""
        return self.head(x[self.leaf], training=training)

    def get_config(self):
        """Returns the arguments, the head serialized."""
        return {**super().get_config(), "head": keras.saving.serialize_keras_object(self.head), "leaf": self.leaf}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the head from get_config()."""
        return cls(**{**config, "head": keras.saving.deserialize_keras_object(config["head"])})


@register(LeafHead)
def _cost(layer, inputs):
    return Node(layer.name, children=(tree(layer.head, inputs[layer.leaf]),))
