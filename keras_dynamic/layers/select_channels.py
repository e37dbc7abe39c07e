"""Some channels of a feature map, by number."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.cost import register


@keras.saving.register_keras_serializable("keras_dynamic")
class SelectChannels(keras.layers.Layer):
    """Gives channels of its input in a given order, and channels of zeros.

    What training.materialize leaves of masks on a unit's input and output channels; what single connections read and
    write.

    Args:
        channels: for each channel of the output the number of the input's channel, from 0, or -1 for zeros.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if channels are no list of ints, or, when it is built, the input has no channel of such a number.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        numbers = np.asarray(channels)
        if numbers.ndim != 1 or not numbers.size or numbers.dtype.kind not in "iu":
            raise ValueError(f"channels must be a list of one int or more, got {channels!r}.")
        self.channels = tuple(numbers.tolist())

    def build(self, x_shape):
        """Checks that the input has the channels to select."""
        wrong = [number for number in self.channels if not -1 <= number < x_shape[-1]]
        if wrong:
            raise ValueError(f"channels must lie in 0 to {x_shape[-1] - 1}, or be -1 for zeros, got {wrong}.")

    def call(self, x):
        """Returns the channels, [batch, height, width, len(channels)], of x [batch, height, width, channels]."""
        numbers = np.array(self.channels, "int32")  # TensorFlow Lite Micro gathers by no others
        if (numbers < 0).any():
            x = ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, 1]])
            numbers = np.where(numbers < 0, x.shape[-1] - 1, numbers)
        return ops.take(x, numbers, axis=-1)

    def compute_output_spec(self, x):
        """Returns the spec of the output."""
        return keras.KerasTensor((*x.shape[:-1], len(self.channels)), dtype=self.compute_dtype)

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "channels": list(self.channels)}


@register(SelectChannels)
def _cost(layer, inputs):
    return 0
