"""What residual networks are made of: blocks, units and the normalisation of their pixels."""

import keras
from keras import layers

from keras_dynamic.layers import NormalizePixels, Residual

_MEAN = (0.485, 0.456, 0.406)  # of pixels / 255, per channel
_DEVIATION = (0.229, 0.224, 0.225)


def layers_per_unit(block: str) -> int:
    """Returns how many convolutions a block has: 2 for 'basic', 3 for 'bottleneck'.

    Args:
        block: 'basic' (two 3x3) or 'bottleneck' (1x1, 3x3, 1x1 to four times the channels).

    Raises:
        ValueError: if the block is unknown.
    """
    known = {"basic": 2, "bottleneck": 3}
    if block not in known:
        raise ValueError(f"block must be one of {sorted(known)}, got {block!r}.")
    return known[block]


def residual_units(stages, width, block, shortcut) -> list[Residual]:
    """Returns the units 'stage1_unit1' and so on; each stage after the first has half the size, twice the channels.

    Args:
        stages: units per stage.
        width: channels of the stem's output and of the first stage's 3x3 convolutions.
        block: 'basic' or 'bottleneck'; its stride is in the first 3x3 convolution.
        shortcut: function (channels, stride) -> layer, for units that change the shape.

    Returns:
        List of Residual, relu(shortcut + body).
    """
    body, expansion = (_basic, 1) if block == "basic" else (_bottleneck, 4)
    units, channels = [], width
    for stage, count in enumerate(stages):
        filters = width * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            changes = stride != 1 or channels != filters * expansion
            other_way = shortcut(filters * expansion, stride) if changes else None
            name = f"stage{stage + 1}_unit{index + 1}"
            units.append(Residual(body(filters, stride), other_way, "relu", name=name))
            channels = filters * expansion
    return units


def normalize_pixels() -> NormalizePixels:
    """Returns the layer that takes pixel values 0 to 255, uint8 or float, to what residual networks are trained on."""
    return NormalizePixels(_MEAN, _DEVIATION, name="pixels")


def convolution(filters, kernel, stride) -> list:
    """Returns convolution and batch norm; a strided one pads symmetrically, which "same" does not.

    Args:
        filters: channels of the output.
        kernel: side of the kernel in pixels, odd.
        stride: step in both directions.
    """
    pad = [layers.ZeroPadding2D(kernel // 2)] if stride > 1 and kernel > 1 else []
    filtered = layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="valid" if pad else "same",
        use_bias=False,
        kernel_initializer="he_normal",
    )
    return [*pad, filtered, layers.BatchNormalization(momentum=0.9, epsilon=1e-5)]


def _basic(filters, stride):
    return keras.Sequential([*convolution(filters, 3, stride), layers.ReLU(), *convolution(filters, 3, 1)], name="body")


def _bottleneck(filters, stride):
    return keras.Sequential(
        [
            *convolution(filters, 1, 1),
            layers.ReLU(),
            *convolution(filters, 3, stride),
            layers.ReLU(),
            *convolution(4 * filters, 1, 1),
        ],
        name="body",
    )
