"""MobileNetV2: inverted residual blocks, thin at both ends and wide in the middle."""

import keras
from keras import layers

from keras_dynamic.layers import BatchNormalization, Chain, DynamicModel, Residual
from keras_dynamic.models.resnet import pixels_layer

# Of each stage: expansion, channels at width 1, units, stride of the first unit; Sandler et al. 2018, Table 2.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(width=1.0, num_classes=1000, name=None, *, pixels="tf") -> DynamicModel:
    """Returns a MobileNetV2 as a dynamic model in which every unit runs.

    It is that of keras.applications, whose weights import_keras_applications loads. The 17 inverted residual blocks are
    units 'stage1_unit1' to 'stage7_unit1'. The ten with a skip connection (at widths from 0.35 to 1.4) can be skipped;
    the others change the shape and always run. A strided convolution is padded "same", which for a 3x3 of stride 2 is
    keras.applications' correct_pad: at the far side alone where the size is even.

        model = kd.methods.ActivationGating(kd.models.mobilenet_v2(0.5, num_classes=10).chain, target=0.6)

    At width 1 it costs 300 M MACs at 224 pixels and 56 M at 96.

    Args:
        width: multiplies all channels, which are rounded to multiples of 8; positive, 0.35 to 1.4 in the paper.
        num_classes: classes of the head.
        name: of the model, 'mobilenet_v2' by default.
        pixels: normalization at the start of the stem: 'tf' (-1 to 1, as in keras.applications), 'torch' (mean 0 and
            deviation 1 per channel), 'caffe' or a Keras layer.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, height, width, 3] of any size, 224 or 96 in
        the papers, with pixel values 0 to 255, uint8 or float; the normalisation is part of the stem. Output: logits
        [batch, num_classes].

    Raises:
        ValueError: if the width is no positive number, or pixels is unknown.

    Source: Sandler et al. 2018.
    """
    is_number = isinstance(width, (int, float)) and not isinstance(width, bool)
    if not is_number or not 0 < width < float("inf"):
        raise ValueError(
            f"width must be a positive number that multiplies the channels, got {width!r}; take 1.0, or 0.35 to 1.4."
        )
    channels = _divisible(32 * width)
    first = layers.Conv2D(channels, 3, 2, padding="same", use_bias=False)
    stem = keras.Sequential([pixels_layer(pixels), first, _norm(), layers.ReLU(6.0)], name="stem")
    units: list[keras.layers.Layer] = []
    for stage, (expansion, at_width_1, count, stride_of_first) in enumerate(_STAGES, start=1):
        filters = _divisible(int(at_width_1 * width))
        for index in range(count):
            stride = 1 if index else stride_of_first
            unit = f"stage{stage}_unit{index + 1}"
            skips = stride == 1 and channels == filters
            body = _inverted_residual(channels, expansion, filters, stride, "body" if skips else unit)
            units.append(Residual(body, name=unit) if skips else body)
            channels = filters
    last = layers.Conv2D(_divisible(1280 * max(width, 1.0)), 1, use_bias=False)
    answer = [layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")]
    head = keras.Sequential([last, _norm(), layers.ReLU(6.0), *answer], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or "mobilenet_v2")


def _inverted_residual(channels, expansion, filters, stride, name):
    """Returns 1x1 to expansion x channels (if that is more), depthwise 3x3, 1x1 to filters without activation."""
    expand = [layers.Conv2D(expansion * channels, 1, use_bias=False), _norm(), layers.ReLU(6.0)]
    depthwise = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)
    project = layers.Conv2D(filters, 1, use_bias=False)
    return keras.Sequential(
        [*(expand if expansion > 1 else []), depthwise, _norm(), layers.ReLU(6.0), project, _norm()], name=name
    )


def _norm():
    return BatchNormalization(epsilon=1e-3, momentum=0.999)


def _divisible(channels):
    """Returns the nearest multiple of 8 that is at least 8 and at least 90 % of the channels."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
