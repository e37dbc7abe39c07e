"""The small classifier that tells a training how easy an image is."""

import keras
from keras import layers

from keras_dynamic.messages import is_count
from keras_dynamic.models.residual_blocks import convolution, normalize_pixels


def guideline_network(num_classes=10, filters=(32, 64, 128), name="guideline"):
    """Returns a small CNN: convolutions of stride 2 with batch norm and ReLU, global average pool, logits.

    The paper draws SGNet as "conv layers" and a classifier and says that they can be adjusted. Images that a small
    network is sure of are easy. It should not be so large that it is sure of every training image.

    Args:
        num_classes: number of classes.
        filters: of each convolution.
        name: of the model.

    Returns:
        keras.Sequential, unbuilt, from images [batch, height, width, 3] with pixel values 0 to 255, uint8 or float, to
        logits, float32 [batch, num_classes].

    Raises:
        ValueError: if there are fewer than two classes, or no filters.

    Source: SGAD (Wang et al. 2018), figure 2(c).
    """
    if not is_count(num_classes, 2):
        raise ValueError(f"num_classes must be an int of at least 2, got {num_classes!r}.")
    if not filters:
        raise ValueError(f"filters must have an entry for each convolution, at least one, got {filters!r}.")
    parts = [normalize_pixels()]
    for channels in filters:
        parts += [*convolution(channels, 3, 2), layers.ReLU()]
    parts += [layers.GlobalAveragePooling2D(), layers.Dense(num_classes, dtype="float32", name="logits")]
    return keras.Sequential(parts, name=name)
