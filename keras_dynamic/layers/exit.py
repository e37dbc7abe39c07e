"""A classifier attached to a chain before its end."""

import keras

from keras_dynamic.cost import Node, register, tree


@keras.saving.register_keras_serializable("keras_dynamic")
class Exit(keras.layers.Layer):
    """A head on x, or on a leaf of it, after a named unit. It may be the head of a chain that ends there, too.

    Args:
        head: Keras layer (or list of layers) that gives logits.
        after: name of the unit after which it reads x.
        leaf: key of the leaf that it reads if x is a dictionary, None for x itself.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet; IMTA, section 3.
    """

    def __init__(self, head, after, leaf=None, **kwargs):
        super().__init__(**kwargs, autocast=False)  # the logits before stay float32
        self.head = keras.Sequential(list(head)) if isinstance(head, (list, tuple)) else head
        self.after, self.leaf = after, leaf

    @property
    def reads_previous(self):
        """Whether its head takes the logits of the exit before."""
        return reads_previous(self.head)

    def call(self, x, previous=None, training=None):
        """Returns logits, [batch, classes].

        Args:
            x: nest of tensors, [batch, ...].
            previous: logits of the exit before, [batch, classes], for a head that reads them.
            training: whether layers run in training mode.
        """
        return answer(self.head, self.read(x), previous, training)

    def read(self, x):
        """Returns what the head reads of a nest, of tensors or of their specs."""
        return x if self.leaf is None else x[self.leaf]

    def cost_node(self, x, previous=None) -> Node:
        """Returns the head's cost.

        Args:
            x: spec of the nest that it reads.
            previous: spec of the logits of the exit before.
        """
        return Node(self.name, children=(head_node(self.head, self.read(x), previous),))

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
    return layer.cost_node(*inputs) if layer.reads_previous else layer.cost_node(inputs)


def reads_previous(head) -> bool:
    """Whether a head takes the logits of the exit before as a second argument, `previous`."""
    return getattr(head, "reads_previous", False)


def answer(head, x, previous, training=None):
    """Returns what a head gives for x, and for the logits of the exit before if it reads them."""
    if reads_previous(head):
        return head(x, previous=previous, training=training)
    return head(x, training=training)


def head_node(head, x, previous, name=None) -> Node:
    """Returns the cost of a head for inputs of these specs."""
    return tree(head, (x, previous) if reads_previous(head) else x, name)
