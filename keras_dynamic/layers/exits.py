"""Exits: classifiers attached to a chain before its end."""

import keras
from keras import ops

from keras_dynamic.cost import Node, register, tree
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import check_number


@keras.saving.register_keras_serializable("keras_dynamic")
class Exit(SavedArguments):
    """A classifier attached after a named unit; it may also be the head of a chain that ends there.

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
        return head_logits(self.head, self.read(x), previous, training)

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


@register(Exit)
def _exit_cost(layer, inputs):
    return layer.cost_node(*inputs) if layer.reads_previous else layer.cost_node(inputs)


def reads_previous(head) -> bool:
    """Whether a head takes the logits of the exit before as a second argument, `previous`."""
    return getattr(head, "reads_previous", False)


def head_logits(head, x, previous, training=None):
    """Returns what a head gives for x, and for the logits of the exit before if it reads them."""
    if reads_previous(head):
        return head(x, previous=previous, training=training)
    return head(x, training=training)


def head_node(head, x, previous, name=None) -> Node:
    """Returns the cost of a head for inputs of these specs."""
    return tree(head, (x, previous) if reads_previous(head) else x, name)


@keras.saving.register_keras_serializable("keras_dynamic")
class LeafHead(SavedArguments):
    """A classifier on one entry of a dictionary of tensors, as the head of a chain.

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


@register(LeafHead)
def _leaf_head_cost(layer, inputs):
    return Node(layer.name, children=(tree(layer.head, inputs[layer.leaf]),))


@keras.saving.register_keras_serializable("keras_dynamic")
class Collaborative(SavedArguments):
    """head(x) + share * transfer(logits of the exit before), gradient stopped: inline subnetwork collaboration.

    As head of an Exit, or of a Chain, it gets the logits of the exit before; not for the first exit, which has none.

    The authors' code joins features and transferred logits before the last dense layer and does not stop the gradient.
    A transfer that ends in a dense layer is the same sum; the paper discards the gradient.

    Args:
        head: Keras layer (or list of layers) from x to logits.
        transfer: Keras layer (or list of layers) from logits to logits, [batch, classes]; None for the identity.
        share: of what was transferred that is added, a positive number.
        **kwargs: of keras.layers.Layer.

    Source: IMTA, section 3.2.
    """

    reads_previous = True

    def __init__(self, head, transfer=None, share=1.0, **kwargs):
        super().__init__(**kwargs, autocast=False)  # the logits before stay float32
        self.head = keras.Sequential(list(head)) if isinstance(head, (list, tuple)) else head
        self.transfer = keras.Sequential(list(transfer)) if isinstance(transfer, (list, tuple)) else transfer
        self.share = check_number("share", share, positive=True)

    def call(self, x, previous=None, training=None):
        """Returns logits, float32 [batch, classes].

        Args:
            x: what the head reads.
            previous: logits of the exit before, [batch, classes].
            training: whether layers inside run in training mode.

        Raises:
            ValueError: if there is no exit before, or it has another number of classes.
        """
        if previous is None:
            raise ValueError(
                f"the head {self.name!r} adds to the logits of the exit before, but there is none; give the first exit "
                "a plain head."
            )
        own = ops.cast(self.head(x, training=training), "float32")
        if own.shape[-1] != previous.shape[-1]:
            raise ValueError(
                f"the head {self.name!r} gives {own.shape[-1]} classes and the exit before it {previous.shape[-1]}; "
                "they must be the same."
            )
        previous = ops.stop_gradient(previous)
        passed = previous if self.transfer is None else self.transfer(previous, training=training)
        passed = ops.cast(passed, "float32")
        return own + (passed if self.share == 1 else self.share * passed)


@register(Collaborative)
def _collaborative_cost(layer, inputs):
    x, previous = inputs
    transfer = () if layer.transfer is None else (tree(layer.transfer, previous),)
    return Node(layer.name, children=(tree(layer.head, x), *transfer))
