"""From pixel values to what networks of several origins were trained on, by keras.applications' names."""

import keras

from keras_dynamic.layers import NormalizePixels
from keras_dynamic.messages import near

# Mean and deviation per channel of pixels / 255, red first.
MODES = {
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "tf": ((0.5,) * 3, (0.5,) * 3),
}


def pixels_layer(pixels) -> keras.layers.Layer:
    """Returns the layer with which a stem starts.

    The modes are those of keras.applications.imagenet_utils.preprocess_input. In 'caffe' channels stay in the order
    red, green, blue, which preprocess_input reverses: import_keras_applications reverses the first kernel instead,
    which costs nothing.

    Args:
        pixels: 'torch' (mean 0 and deviation 1 per channel, what residual networks are trained on), 'caffe' (the mean
            taken off, -124 to 151), 'tf' (-1 to 1), or a Keras layer of one's own.

    Raises:
        ValueError: if pixels is something else.
    """
    if isinstance(pixels, keras.layers.Layer):
        return pixels
    if not isinstance(pixels, str) or pixels not in MODES:
        raise ValueError(
            f"pixels must be one of {sorted(MODES)} or a Keras layer, got {pixels!r}{near(pixels, MODES)}; take "
            "'torch' for weights of your own."
        )
    return NormalizePixels(*MODES[pixels], name="pixels")


def mode_of(layer) -> str | None:
    """Returns the mode that a stem's first layer is, or None if it is something else.

    Args:
        layer: Keras layer.
    """
    numbers = (layer.mean, layer.deviation) if isinstance(layer, NormalizePixels) else None
    return next((mode for mode, known in MODES.items() if known == numbers), None)
