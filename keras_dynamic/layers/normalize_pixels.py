"""From pixel values to what a network was trained on."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_dynamic.cost import register
from keras_dynamic.keras_hooks import all_layers
from keras_dynamic.layers.saved_arguments import SavedArguments


@keras.saving.register_keras_serializable("keras_dynamic")
class NormalizePixels(SavedArguments):
    """(x / 255 - mean) / deviation, per channel.

    Images of another number of channels, such as grey ones, get the mean of these numbers.

    Keras' own Normalization makes its constants while it is built, which fails inside a compiled step on JAX, and its
    Rescaling needs TensorFlow there; this one holds plain numbers.

    Args:
        mean: per channel, of pixels / 255.
        deviation: per channel, of pixels / 255, positive.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if mean and deviation differ in length or a deviation is not positive.
    """

    def __init__(self, mean, deviation, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.deviation = tuple(map(float, mean)), tuple(map(float, deviation))
        if len(self.mean) != len(self.deviation) or min(self.deviation) <= 0:
            raise ValueError(
                f"mean and deviation need one number per channel, deviations positive, got {mean} and {deviation}."
            )

    def call(self, x):
        """Returns float [batch, height, width, channels] for pixel values 0 to 255, uint8 or float."""
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        if x.shape[-1] != len(mean):
            mean, deviation = mean.mean(), deviation.mean()
        scale, offset = 1.0 / (255.0 * deviation), -mean / deviation
        normal = ops.cast(x, "float32") * np.float32(scale) + np.float32(offset)
        return ops.cast(normal, self.compute_dtype)

    def compute_output_spec(self, x):
        """Returns the input's spec in the layer's dtype."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)


@register(NormalizePixels)
def _cost(layer, inputs):
    return 0


def normalizes_pixels(model) -> bool:
    """Returns whether a built DynamicModel begins with a layer that normalises or rescales pixel values 0 to 255."""
    return takes_pixels(model) or rescales_pixels(model)


def takes_pixels(model) -> bool:
    """Returns whether the model certainly normalises pixel values 0 to 255 itself."""
    return any(isinstance(layer, NormalizePixels) for layer in all_layers(model.chain.stem))


def rescales_pixels(model) -> bool:
    """Returns whether the model's stem rescales its input as pixel values are: by 1 / 255, 1 / 127.5 or the like.

    Sensor values may be rescaled so too, so that inputs of another range are no error.
    """
    scales = [layer.scale for layer in all_layers(model.chain.stem) if isinstance(layer, keras.layers.Rescaling)]
    return any(1 / 300 <= np.min(scale) <= np.max(scale) <= 1 / 100 for scale in scales)


def warn_of_fractions(model, x):
    """Warns, once for each model, where images range from 0 to 1 and the model expects pixel values 0 to 255.

    Args:
        model: built DynamicModel.
        x: images, [n, height, width, channels], finite; others are let pass.
    """
    x = np.asarray(x)
    if x.ndim == 4 and x.dtype.kind == "f" and x.min() >= 0 and 0 < x.max() <= 1 and normalizes_pixels(model):
        warnings.warn(  # of one place, so that Python shows it once, whatever the images are given to
            f"images range from 0 to 1, and {model.name!r} expects pixels from 0 to 255; multiply them by 255.",
            stacklevel=1,
        )
