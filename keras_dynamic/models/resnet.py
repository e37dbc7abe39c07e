"""Residual networks for 32x32 and for 224x224 images."""

import functools

import keras
from keras import layers

from keras_dynamic.layers import BatchNormalization, Chain, DynamicModel, NormalizePixels, PadShortcut, Residual
from keras_dynamic.messages import check_fraction, check_number, did_you_mean, is_count

# Mean and deviation per channel of pixels / 255, red first.
MODES = {
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "tf": ((0.5,) * 3, (0.5,) * 3),
}


def pixels_layer(pixels) -> keras.layers.Layer:
    """Returns the layer that normalizes pixels at the start of a stem.

    The modes are those of keras.applications.imagenet_utils.preprocess_input. In 'caffe' channels stay in the order
    red, green, blue, which preprocess_input reverses: import_keras_applications reverses the first kernel instead,
    which costs nothing.

    Args:
        pixels: 'torch' (mean 0 and deviation 1 per channel, what residual networks are trained on), 'caffe' (the mean
            subtracted, -124 to 151), 'tf' (-1 to 1), or a Keras layer.

    Raises:
        ValueError: if pixels is something else.
    """
    if isinstance(pixels, keras.layers.Layer):
        return pixels
    if not isinstance(pixels, str) or pixels not in MODES:
        raise ValueError(
            f"pixels must be one of {sorted(MODES)} or a Keras layer, got {pixels!r}{did_you_mean(pixels, MODES)}; "
            "take 'torch' for weights of your own."
        )
    return NormalizePixels(*MODES[pixels], name="pixels")


def mode_of(layer) -> str | None:
    """Returns the mode of pixels_layer that made a stem's first layer, or None."""
    numbers = (layer.mean, layer.deviation) if isinstance(layer, NormalizePixels) else None
    return next((mode for mode, known in MODES.items() if known == numbers), None)


STRIDES_ON = ("3x3", "first_1x1")


def layers_per_unit(block: str) -> int:
    """Returns how many convolutions a block has: 2 for 'basic', 3 for 'bottleneck'."""
    known = {"basic": 2, "bottleneck": 3}
    if block not in known:
        raise ValueError(f"block must be one of {sorted(known)}, got {block!r}.")
    return known[block]


def convolution(filters, kernel, stride, bias=False, epsilon=1e-5, momentum=0.9) -> list:
    """Returns convolution and batch norm; a strided convolution pads symmetrically, unlike "same".

    Args:
        filters: channels of the output.
        kernel: side of the kernel in pixels, odd.
        stride: step in both directions.
        bias: whether the convolution adds a bias, which batch norm subtracts again.
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
    return [*pad, filtered, BatchNormalization(momentum=momentum, epsilon=epsilon)]


def check_stride_on(stride_on: str, block: str) -> None:
    """Raises a ValueError if stride_on is neither '3x3' nor 'first_1x1', or the block has no 1x1 convolution."""
    if stride_on not in STRIDES_ON:
        raise ValueError(
            f"stride_on must be one of {STRIDES_ON}, got {stride_on!r}{did_you_mean(stride_on, STRIDES_ON)}."
        )
    if stride_on == "first_1x1" and block != "bottleneck":
        raise ValueError(f"stride_on='first_1x1' needs bottleneck blocks, got block={block!r}; take stride_on='3x3'.")


def residual_units(stages, width, block, shortcut, stride_on="3x3", convolve=convolution) -> list[Residual]:
    """Returns the residual units of all stages; each stage after the first has half the size and twice the channels.

    Args:
        stages: units per stage.
        width: channels of the stem's output and of the first stage's 3x3 convolutions.
        block: 'basic' or 'bottleneck'.
        shortcut: function (channels, stride) -> layer, for units that change the shape.
        stride_on: '3x3', the first one, or 'first_1x1'.
        convolve: function (filters, kernel, stride) -> convolution and batch norm.

    Returns:
        List of Residual, relu(shortcut + body), named 'stage1_unit1' and so on.

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
    """Returns the layer from pixel values 0 to 255, uint8 or float, to mean 0 and deviation 1 per channel."""
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
    shortcut = functools.partial(PadShortcut, name="shortcut")
    units = residual_units([(depth - 2) // step] * 3, width, block, shortcut)
    stem = keras.Sequential([normalize_pixels(), *convolution(width, 3, 1), layers.ReLU()], name="stem")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"resnet{depth}")


def resnet50(
    num_classes=1000, stride_on="3x3", bias=False, epsilon=1e-5, name=None, *, momentum=0.9, pixels="torch"
) -> DynamicModel:
    """Returns a ResNet-50: resnet_imagenet of stages (3, 4, 6, 3), 16 units that may all be skipped.

    By default it is version 1.5 of the papers on dynamic networks, 4.09 G MACs at 224 pixels. keras.applications has
    version 1, 3.86 G MACs, whose weights import_keras_applications takes over:

        resnet50(stride_on="first_1x1", bias=True, epsilon=1.001e-5, momentum=0.99, pixels="caffe")

    Arguments, result and errors are those of resnet_imagenet.

    Source: He et al. 2016, Table 1; Herrmann et al., section S1.4, on the versions.
    """
    options = {"stride_on": stride_on, "bias": bias, "epsilon": epsilon, "momentum": momentum, "pixels": pixels}
    return resnet_imagenet((3, 4, 6, 3), num_classes, name=name, **options)


def resnet101(
    num_classes=1000, stride_on="3x3", bias=False, epsilon=1e-5, name=None, *, momentum=0.9, pixels="torch"
) -> DynamicModel:
    """Returns a ResNet-101: resnet_imagenet of stages (3, 4, 23, 3), 33 units that may all be skipped.

    Arguments, result and errors are those of resnet_imagenet; see resnet50 for the two versions.

    Source: He et al. 2016, Table 1.
    """
    options = {"stride_on": stride_on, "bias": bias, "epsilon": epsilon, "momentum": momentum, "pixels": pixels}
    return resnet_imagenet((3, 4, 23, 3), num_classes, name=name, **options)


def resnet_imagenet(
    stages=(3, 4, 23, 3),
    num_classes=1000,
    block="bottleneck",
    width=64,
    name=None,
    *,
    stride_on="3x3",
    bias=False,
    epsilon=1e-5,
    momentum=0.9,
    pixels="torch",
):
    """Returns a residual network for ImageNet as a dynamic model in which every unit runs.

    Stem: 7x7 convolution with stride 2, 3x3 maximum with stride 2, both padded symmetrically. Then stages of units
    named 'stage1_unit1' and so on, each stage with half the size and twice the channels of the last. A stage's first
    unit has a 1x1 convolution and batch norm as shortcut where the shape changes; that unit may be skipped like any
    other, and then returns relu(shortcut(x)).

    ResNet-101 is (3, 4, 23, 3), 33 units. BlockDrop's section 4.1 writes [3, 4, 20, 3], but its 33 blocks and its
    1.56e10 FLOPs (2 x MACs) are those of [3, 4, 23, 3]. The ResNet-72, -75 and -84 of its Table 4, three layers per
    unit, have 14, 15 and 18 units in the third stage.

    Args:
        stages: units per stage, positive ints.
        num_classes: classes of the head.
        block: 'bottleneck' (1x1, 3x3, 1x1 to four times the channels) or 'basic' (two 3x3).
        width: channels of the stem and of the first stage's 3x3 convolutions.
        name: of the model; after its number of layers by default.
        stride_on: '3x3', the first one of a unit ("v1.5"), or 'first_1x1' of bottleneck blocks ("v1").
        bias: whether convolutions, shortcuts included, have biases.
        epsilon: of batch norms, positive.
        momentum: of batch norms, in [0, 1].
        pixels: normalization at the start of the stem: 'torch' (mean 0 and deviation 1 per channel), 'caffe' (mean 0,
            as in the ResNets of keras.applications), 'tf' (-1 to 1) or a Keras layer.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, 224, 224, 3], or of another size, with pixel
        values 0 to 255, uint8 or float; the normalisation is part of the stem. Output: logits [batch, num_classes].

    Raises:
        ValueError: if stages is no list or tuple of positive ints, the block, stride_on or pixels is unknown, the
            stride is to be on a 1x1 that the block lacks, or width, epsilon or momentum is out of range.

    Source: He et al. 2016, section 4.1; shortcut option B.
    """
    depth_of_unit = layers_per_unit(block)
    fits = isinstance(stages, (list, tuple)) and all(map(is_count, stages))
    if not fits or not stages:
        raise ValueError(f"stages must be units per stage, positive ints, e.g. (3, 4, 23, 3), got {stages!r}.")
    check_stride_on(stride_on, block)
    convolve = functools.partial(
        convolution,
        bias=bias,
        epsilon=check_number("epsilon", epsilon, positive=True),
        momentum=check_fraction("momentum", momentum),
    )

    def projection(channels, stride):
        return keras.Sequential(convolve(channels, 1, stride), name="shortcut")

    units = residual_units(stages, width, block, projection, stride_on, convolve)
    pool = [layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]  # zeros are no larger than what ReLU gives
    stem = keras.Sequential([pixels_layer(pixels), *convolve(width, 7, 2), layers.ReLU(), *pool], name="stem")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"resnet{depth_of_unit * sum(stages) + 2}")
