"""Residual networks for 224x224 images."""

import functools

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel
from keras_dynamic.messages import check_fraction, check_number, is_count
from keras_dynamic.models.pixels import pixels_layer
from keras_dynamic.models.residual_blocks import check_stride_on, convolution, layers_per_unit, residual_units


def resnet50(
    num_classes=1000, stride_on="3x3", bias=False, epsilon=1e-5, name=None, *, momentum=0.9, pixels="torch"
) -> DynamicModel:
    """Returns a ResNet-50: resnet_imagenet of stages (3, 4, 6, 3), 16 units that may all be skipped.

    By default it is version 1.5 of the papers on dynamic networks, 4.09 G MACs at 224 pixels. keras.applications has
    version 1, 3.86 G MACs, whose weights import_keras_applications takes over:

        resnet50(stride_on="first_1x1", bias=True, epsilon=1.001e-5, momentum=0.99, pixels="caffe")

    Args:
        num_classes: classes of the head.
        stride_on: of resnet_imagenet, as are all that follow.
        bias: of the convolutions.
        epsilon: of batch norms.
        name: of the model, 'resnet50' by default.
        momentum: of batch norms.
        pixels: with what the stem starts.

    Returns:
        DynamicModel, unbuilt, as resnet_imagenet describes it.

    Raises:
        ValueError: as resnet_imagenet says.

    Source: He et al. 2016, Table 1; Herrmann et al., section S1.4, on the versions.
    """
    return _bottlenecks((3, 4, 6, 3), num_classes, stride_on, bias, epsilon, name, momentum, pixels)


def resnet101(
    num_classes=1000, stride_on="3x3", bias=False, epsilon=1e-5, name=None, *, momentum=0.9, pixels="torch"
) -> DynamicModel:
    """Returns a ResNet-101: resnet_imagenet of stages (3, 4, 23, 3), 33 units that may all be skipped.

    Args:
        num_classes: classes of the head.
        stride_on: of resnet_imagenet, as are all that follow; see resnet50 for the two versions.
        bias: of the convolutions.
        epsilon: of batch norms.
        name: of the model, 'resnet101' by default.
        momentum: of batch norms.
        pixels: with what the stem starts.

    Returns:
        DynamicModel, unbuilt, as resnet_imagenet describes it.

    Raises:
        ValueError: as resnet_imagenet says.

    Source: He et al. 2016, Table 1.
    """
    return _bottlenecks((3, 4, 23, 3), num_classes, stride_on, bias, epsilon, name, momentum, pixels)


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
    other, and then gives relu(shortcut(x)). Strides are in the 3x3 convolutions ("v1.5") unless stride_on says
    otherwise.

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
        pixels: with what the stem starts: 'torch' (mean 0 and deviation 1 per channel), 'caffe' (mean 0, as the ResNets
            of keras.applications take them), 'tf' (-1 to 1) or a Keras layer.

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


def _bottlenecks(stages, num_classes, stride_on, bias, epsilon, name, momentum, pixels):
    return resnet_imagenet(
        stages,
        num_classes,
        name=name,
        stride_on=stride_on,
        bias=bias,
        epsilon=epsilon,
        momentum=momentum,
        pixels=pixels,
    )
