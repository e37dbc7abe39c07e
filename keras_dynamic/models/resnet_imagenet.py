"""Residual networks for 224x224 images."""

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel
from keras_dynamic.models.residual_blocks import convolution, layers_per_unit, normalize_pixels, residual_units


def resnet_imagenet(stages=(3, 4, 23, 3), num_classes=1000, block="bottleneck", width=64, name=None):
    """Returns a residual network for ImageNet as a dynamic model in which every unit runs.

    Stem: 7x7 convolution with stride 2, 3x3 maximum with stride 2, both padded symmetrically. Then stages of units
    named 'stage1_unit1' and so on, each stage with half the size and twice the channels of the last. A stage's first
    unit has a 1x1 convolution and batch norm as shortcut where the shape changes; that unit may be skipped like any
    other, and then gives relu(shortcut(x)). Strides are in the 3x3 convolutions ("v1.5").

    ResNet-101 is (3, 4, 23, 3), 33 units. BlockDrop's section 4.1 writes [3, 4, 20, 3], but its 33 blocks and its
    1.56e10 FLOPs (2 x MACs) are those of [3, 4, 23, 3]. The ResNet-72, -75 and -84 of its Table 4, three layers per
    unit, have 14, 15 and 18 units in the third stage.

    Args:
        stages: units per stage, positive ints.
        num_classes: classes of the head.
        block: 'bottleneck' (1x1, 3x3, 1x1 to four times the channels) or 'basic' (two 3x3).
        width: channels of the stem and of the first stage's 3x3 convolutions.
        name: of the model; after its number of layers by default.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, 224, 224, 3], or of another size, with pixel
        values 0 to 255, uint8 or float; the normalisation is part of the stem. Output: logits [batch, num_classes].

    Raises:
        ValueError: if stages is no list or tuple of positive ints, or the block is unknown.

    Source: He et al. 2016, section 4.1; shortcut option B.
    """
    depth_of_unit = layers_per_unit(block)
    fits = isinstance(stages, (list, tuple)) and all(isinstance(count, int) and count > 0 for count in stages)
    if not fits or not stages:
        raise ValueError(f"stages must be units per stage, positive ints, e.g. (3, 4, 23, 3), got {stages!r}.")
    units = residual_units(stages, width, block, _projection)
    pool = [layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]  # zeros are no larger than what ReLU gives
    stem = keras.Sequential([normalize_pixels(), *convolution(width, 7, 2), layers.ReLU(), *pool], name="stem")
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"resnet{depth_of_unit * sum(stages) + 2}")


def _projection(channels, stride):
    return keras.Sequential(convolution(channels, 1, stride), name="shortcut")
