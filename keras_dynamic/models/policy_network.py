"""What policies that look at the image share: a residual trunk, pooled features, a head that answers per unit."""

import keras
from keras import layers

from keras_dynamic.layers import Always, Chain, DynamicModel, NormalizePixels
from keras_dynamic.messages import check_fraction
from keras_dynamic.models.resnet_cifar import resnet_cifar
from keras_dynamic.models.resnet_imagenet import resnet_imagenet

IMAGE_SIZES = (32, 224)


def check_policy(units, image_size, trunk, open_probability):
    """Raises if a policy network cannot be made of these.

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels: 32 or 224.
        trunk: plain network or None.
        open_probability: in (0, 1).

    Raises:
        ValueError: as policy_resnet says.
    """
    if isinstance(units, bool) or not isinstance(units, int) or units < 1:
        raise ValueError(f"units must be a positive int, one per unit that the policy decides, got {units!r}.")
    if image_size not in IMAGE_SIZES:
        raise ValueError(f"image_size must be one of {IMAGE_SIZES}, got {image_size!r}; resize the images.")
    if check_fraction("open_probability", open_probability) in (0.0, 1.0):
        raise ValueError(f"open_probability must lie strictly between 0 and 1, got {open_probability!r}; try 0.5.")
    if trunk is not None and (not isinstance(trunk, DynamicModel) or not isinstance(trunk.decider, Always)):
        raise ValueError(
            f"trunk must be a plain network of models.resnet_cifar or models.resnet_imagenet, got {_described(trunk)}."
        )


def policy_network(answer, image_size, trunk, name):
    """Returns a policy network: trunk, global average pool, answer.

    Args:
        answer: layer from the pooled features [batch, features] to logits [batch, units].
        image_size: side of the images in pixels: 32, or 224 to have them pooled by 2.
        trunk: plain network whose stem and units it takes; None makes a ResNet-8, or a ResNet-10 for 224 pixels.
        name: of the model.

    Returns:
        DynamicModel, unbuilt.

    Raises:
        ValueError: if images of 224 pixels cannot be pooled, because the trunk's stem does not start with
            NormalizePixels.
    """
    if trunk is None:
        trunk = resnet_cifar(8) if image_size == 32 else resnet_imagenet((1, 1, 1, 1), block="basic")
    stem = trunk.chain.stem if image_size == 32 else _pooled(trunk)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), answer], name="head")
    return DynamicModel(Chain(stem, trunk.chain.units, head, name="chain"), name=name)


def _pooled(trunk):
    """Returns the trunk's stem with its pixels averaged over 2x2; after normalisation, which takes uint8 to float."""
    first, *rest = getattr(trunk.chain.stem, "layers", [trunk.chain.stem])
    if not isinstance(first, NormalizePixels):
        raise ValueError(
            f"images of 224 pixels are pooled after NormalizePixels, and the stem of trunk {trunk.name!r} starts with "
            f"{type(first).__name__} {first.name!r}; give a resnet_cifar or resnet_imagenet."
        )
    return keras.Sequential([first, layers.AveragePooling2D(2), *rest], name="stem")


def _described(trunk):
    if not isinstance(trunk, DynamicModel):
        return f"{type(trunk).__name__} {getattr(trunk, 'name', trunk)!r}"
    return f"{trunk.name!r}, in which a {type(trunk.decider).__name__} decides"
