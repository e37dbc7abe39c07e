"""The four reference networks of MLPerf Tiny, for microcontrollers."""

from collections.abc import Callable

import keras
from keras import layers

from keras_dynamic.messages import did_you_mean


def mlperf_tiny(task: str) -> keras.Model:
    """Returns the reference network of a task of the benchmark MLPerf Tiny, with random weights.

    | task | network | input | output | MACs |
    |---|---|---|---|---|
    | image_classification | ResNet-8 | [32, 32, 3], pixels 0 to 255 | 10 classes of CIFAR-10 | 12,501,632 |
    | keyword_spotting | DS-CNN | [49, 10, 1], a second as cepstral coefficients | 12 words | 2,656,768 |
    | visual_wake_words | MobileNetV1, width 0.25 | [96, 96, 3], pixels divided by 255 | no person, person | 7,489,664 |
    | anomaly_detection | autoencoder | [640], five frames of a log-mel spectrogram | the same | 264,192 |

    They are plain functional Keras models, those of the benchmark without the softmax at their ends. Methods and
    transforms take them as they are: the residual units of the ResNet can be skipped, and exits attached in the
    others.

        model = kd.methods.ActivationGating(kd.models.mlperf_tiny("image_classification"), target=0.6)

    Args:
        task: of the table.

    Returns:
        keras.Model that returns logits, or of the autoencoder what it makes of its input.

    Raises:
        ValueError: if the task is unknown.

    Source: Banbury et al. 2021 (arXiv 2106.07597).
    """
    if task not in _NETWORKS:
        raise ValueError(f"task must be one of {sorted(_NETWORKS)}, got {task!r}{did_you_mean(task, _NETWORKS)}.")
    return _NETWORKS[task]()


def _normed(layer, x, activate=True):
    """Returns a layer's result after batch norm and, if asked, ReLU."""
    x = layers.BatchNormalization(name=f"{layer.name}_norm")(layer(x))
    return layers.ReLU(name=f"{layer.name}_relu")(x) if activate else x


def _convolution(name, filters, kernel, strides=1):
    return layers.Conv2D(filters, kernel, strides, padding="same", kernel_initializer="he_normal", name=name)


def _resnet():
    """Three residual units; the shortcuts of those that change the shape are convolutions."""
    image = keras.Input((32, 32, 3), name="image")
    x = _normed(_convolution("stem", 16, 3), image)
    for number, filters in enumerate((16, 32, 64), 1):
        strides, unit = 1 if number == 1 else 2, f"unit{number}"
        y = _normed(_convolution(f"{unit}_first", filters, 3, strides), x)
        y = _normed(_convolution(f"{unit}_second", filters, 3), y, activate=False)
        if strides > 1:
            x = _convolution(f"{unit}_shortcut", filters, 1, strides)(x)
        x = layers.ReLU(name=f"{unit}_relu")(layers.Add(name=f"{unit}_add")([x, y]))
    return keras.Model(image, _answer(x, 8, 10), name="resnet8")


def _answer(x, window, classes):
    x = layers.Flatten(name="flat")(layers.AveragePooling2D(window, name="pool")(x))
    return layers.Dense(classes, name="logits")(x)


def _separable(x, filters, strides, name):
    how = {"padding": "same", "depthwise_initializer": "he_normal", "name": f"{name}_depthwise"}
    return _normed(_convolution(name, filters, 1), _normed(layers.DepthwiseConv2D(3, strides, **how), x))


def _ds_cnn():
    """Four separable convolutions; the pooling covers 24 of the 25 rows, as in the reference."""
    spectrogram = keras.Input((49, 10, 1), name="spectrogram")
    x = layers.Dropout(0.2, name="stem_dropout")(_normed(_convolution("stem", 64, (10, 4), 2), spectrogram))
    for number in range(1, 5):
        x = _separable(x, 64, 1, f"unit{number}")
    x = layers.Dropout(0.4, name="dropout")(x)
    return keras.Model(spectrogram, _answer(x, (24, 5), 12), name="ds_cnn")


def _mobilenet():
    """Howard et al. 2017, Table 1, with a quarter of the filters."""
    image = keras.Input((96, 96, 3), name="image")
    x = _normed(_convolution("stem", 8, 3, 2), image)
    widths = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    for number, filters in enumerate(widths, 1):
        x = _separable(x, filters, 2 if number in (2, 4, 6, 12) else 1, f"unit{number}")
    return keras.Model(image, _answer(x, 3, 2), name="mobilenet_v1")


def _autoencoder():
    frames = keras.Input((640,), name="frames")
    x = frames
    for number, size in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), 1):
        x = _normed(layers.Dense(size, name=f"dense{number}"), x)
    return keras.Model(frames, layers.Dense(640, name="frames_again")(x), name="autoencoder")


_NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "anomaly_detection": _autoencoder,
    "image_classification": _resnet,
    "keyword_spotting": _ds_cnn,
    "visual_wake_words": _mobilenet,
}
