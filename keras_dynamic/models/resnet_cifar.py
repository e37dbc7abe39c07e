"""Residual networks for 32x32 images."""

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel, PadShortcut
from keras_dynamic.models.residual_blocks import convolution, layers_per_unit, normalize_pixels, residual_units


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
        ValueError: if the depth does not fit the block, the block is unknown, or width is no positive int.

    Source: He et al. 2016, section 4.2; shortcut option A.
    """
    step = 3 * layers_per_unit(block)
    if not isinstance(depth, int) or depth < step + 2 or (depth - 2) % step:
        raise ValueError(
            f"depth must be {step}n+2 for {block} blocks, e.g. {step + 2}, {5 * step + 2} or {18 * step + 2}, "
            f"got {depth!r}."
        )
    units = residual_units(
        [(depth - 2) // step] * 3, width, block, lambda channels, stride: PadShortcut(channels, stride, name="shortcut")
    )
    stem = keras.Sequential([normalize_pixels(), *convolution(width, 3, 1), layers.ReLU()], name="stem")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"resnet{depth}")
