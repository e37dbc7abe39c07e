"""Residual networks for 32x32 images."""

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel, NormalizePixels, PadShortcut, Residual

MEAN = (0.485, 0.456, 0.406)  # of pixels / 255, per channel
DEVIATION = (0.229, 0.224, 0.225)
_LAYERS_PER_UNIT = {"basic": 2, "bottleneck": 3}


def resnet_cifar(depth=32, num_classes=10, width=16, block="basic", name=None):
    """Returns a residual network for CIFAR as a dynamic model in which every unit runs.

    Three stages of n units at 32, 16 and 8 pixels with width, 2 width and 4 width channels; units are named
    'stage1_unit1' and so on. Gate it by giving its chain to another model: ActivationGating(resnet_cifar(32).chain).

    Args:
        depth: 6 n + 2 for basic blocks, 9 n + 2 for bottleneck blocks.
        num_classes: classes of the head.
        width: channels of the first stage.
        block: 'basic' (two 3x3) or 'bottleneck' (1x1, 3x3, 1x1 to four times the channels).
        name: of the model.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, 32, 32, 3] with pixel values 0 to 255, uint8
        or float; the normalisation is part of the stem. Output: logits [batch, num_classes].

    Raises:
        ValueError: if the depth does not fit the block, or the block is unknown.

    Source: He et al. 2016, section 4.2; shortcut option A.
    """
    if block not in _LAYERS_PER_UNIT:
        raise ValueError(f"block must be one of {sorted(_LAYERS_PER_UNIT)}, got {block!r}.")
    step = 3 * _LAYERS_PER_UNIT[block]
    if not isinstance(depth, int) or depth < step + 2 or (depth - 2) % step:
        raise ValueError(
            f"depth must be {step}n+2 for {block} blocks, e.g. {step + 2}, {5 * step + 2} or {18 * step + 2}, "
            f"got {depth!r}."
        )
    body, expansion = (_basic, 1) if block == "basic" else (_bottleneck, 4)
    units, channels = [], width
    for stage in range(3):
        filters = width * 2**stage
        for index in range((depth - 2) // step):
            stride = 2 if stage and not index else 1
            unit_name = f"stage{stage + 1}_unit{index + 1}"
            shortcut = None
            if stride != 1 or channels != filters * expansion:
                shortcut = PadShortcut(filters * expansion, stride, name="shortcut")
            units.append(Residual(body(filters, stride), shortcut, "relu", name=unit_name))
            channels = filters * expansion
    pixels = NormalizePixels(MEAN, DEVIATION, name="pixels")
    stem = keras.Sequential([pixels, *_convolution(width, 3, 1), layers.ReLU()], name="stem")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"resnet{depth}")


def _basic(filters, stride):
    return keras.Sequential(
        [*_convolution(filters, 3, stride), layers.ReLU(), *_convolution(filters, 3, 1)], name="body"
    )


def _bottleneck(filters, stride):
    return keras.Sequential(
        [
            *_convolution(filters, 1, 1),
            layers.ReLU(),
            *_convolution(filters, 3, stride),
            layers.ReLU(),
            *_convolution(4 * filters, 1, 1),
        ],
        name="body",
    )


def _convolution(filters, kernel, stride):
    """Returns convolution and batch norm; a strided one pads symmetrically, which "same" does not."""
    pad = [layers.ZeroPadding2D(kernel // 2)] if stride > 1 and kernel > 1 else []
    convolution = layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="valid" if pad else "same",
        use_bias=False,
        kernel_initializer="he_normal",
    )
    return [*pad, convolution, layers.BatchNormalization(momentum=0.9, epsilon=1e-5)]
