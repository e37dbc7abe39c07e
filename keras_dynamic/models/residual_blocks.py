"""What residual networks are made of: blocks, units and the normalisation of their pixels."""

import keras
from keras import layers

from keras_dynamic.layers import NormalizePixels, Residual
from keras_dynamic.messages import is_count, near
from keras_dynamic.models.pixels import pixels_layer

STRIDES_ON = ("3x3", "first_1x1")


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


def convolution(filters, kernel, stride, bias=False, epsilon=1e-5, momentum=0.9) -> list:
    """Returns convolution and batch norm; a strided one pads symmetrically, which "same" does not.

    Args:
        filters: channels of the output.
        kernel: side of the kernel in pixels, odd.
        stride: step in both directions.
        bias: whether the convolution adds a bias, which batch norm takes off again.
        epsilon: of the batch norm.
        momentum: of the batch norm.
    """
    pad = [layers.ZeroPadding2D(kernel // 2)] if stride > 1 and kernel > 1 else []
    filtered = layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="valid" if pad else "same",
        use_bias=bias,
        kernel_initializer="he_normal",
    )
    return [*pad, filtered, layers.BatchNormalization(momentum=momentum, epsilon=epsilon)]


def check_stride_on(stride_on: str, block: str) -> None:
    """Raises if strides cannot be there.

    Args:
        stride_on: '3x3' or 'first_1x1'.
        block: 'basic' or 'bottleneck'.

    Raises:
        ValueError: if stride_on is unknown, or the block has no 1x1.
    """
    if stride_on not in STRIDES_ON:
        raise ValueError(f"stride_on must be one of {STRIDES_ON}, got {stride_on!r}{near(stride_on, STRIDES_ON)}.")
    if stride_on == "first_1x1" and block != "bottleneck":
        raise ValueError(f"stride_on='first_1x1' needs bottleneck blocks, got block={block!r}; take stride_on='3x3'.")


def residual_units(stages, width, block, shortcut, stride_on="3x3", convolve=convolution) -> list[Residual]:
    """Returns the units 'stage1_unit1' and so on; each stage after the first has half the size, twice the channels.

    Args:
        stages: units per stage.
        width: channels of the stem's output and of the first stage's 3x3 convolutions.
        block: 'basic' or 'bottleneck'.
        shortcut: function (channels, stride) -> layer, for units that change the shape.
        stride_on: '3x3', the first one, or 'first_1x1'.
        convolve: function (filters, kernel, stride) -> convolution and batch norm.

    Returns:
        List of Residual, relu(shortcut + body).

    Raises:
        ValueError: if width is no positive int.
    """
    if not is_count(width):
        raise ValueError(f"width must be a positive int, channels of the first stage, got {width!r}.")
    body, expansion = (_basic, 1) if block == "basic" else (_bottleneck, 4)
    units, channels = [], width
    for stage, count in enumerate(stages):
        filters = width * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            changes = stride != 1 or channels != filters * expansion
            other_way = shortcut(filters * expansion, stride) if changes else None
            name = f"stage{stage + 1}_unit{index + 1}"
            units.append(Residual(body(filters, stride, stride_on, convolve), other_way, "relu", name=name))
            channels = filters * expansion
    return units


def normalize_pixels() -> NormalizePixels:
    """Returns the layer that takes pixel values 0 to 255, uint8 or float, to what residual networks are trained on."""
    return pixels_layer("torch")


def _basic(filters, stride, stride_on, convolve):
    return keras.Sequential([*convolve(filters, 3, stride), layers.ReLU(), *convolve(filters, 3, 1)], name="body")


def _bottleneck(filters, stride, stride_on, convolve):
    first, second = (1, stride) if stride_on == "3x3" else (stride, 1)
    return keras.Sequential(
        [
            *convolve(filters, 1, first),
            layers.ReLU(),
            *convolve(filters, 3, second),
            layers.ReLU(),
            *convolve(4 * filters, 1, 1),
        ],
        name="body",
    )
