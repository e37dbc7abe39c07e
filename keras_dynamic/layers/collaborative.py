"""A classifier that goes on from the answer of the one before."""

import keras
from keras import ops

from keras_dynamic.cost import Node, register, tree
from keras_dynamic.messages import check_number


@keras.saving.register_keras_serializable("keras_dynamic")
class Collaborative(keras.layers.Layer):
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
                f"the head {self.name!r} goes on from the exit before, but there is none; give the first exit a plain "
                "head."
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

    def get_config(self):
        """Returns the arguments, layers serialized."""
        pack = keras.saving.serialize_keras_object
        return {**super().get_config(), "head": pack(self.head), "transfer": pack(self.transfer), "share": self.share}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the layer from get_config()."""
        unpack = keras.saving.deserialize_keras_object
        return cls(**{**config, "head": unpack(config["head"]), "transfer": unpack(config["transfer"])})


@register(Collaborative)
def _cost(layer, inputs):
    x, previous = inputs
    transfer = () if layer.transfer is None else (tree(layer.transfer, previous),)
    return Node(layer.name, children=(tree(layer.head, x), *transfer))
