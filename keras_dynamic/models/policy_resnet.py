"""Small residual networks that decide from the image: policies."""

import math

import keras
from keras import layers

from keras_dynamic.layers import Always, Chain, DynamicModel, NormalizePixels
from keras_dynamic.messages import check_fraction
from keras_dynamic.models.resnet_cifar import resnet_cifar
from keras_dynamic.models.resnet_imagenet import resnet_imagenet

IMAGE_SIZES = (32, 224)


def policy_resnet(units, image_size=32, trunk=None, open_probability=0.5, name="policy"):
    """Returns a policy network: from an image to one logit per unit, the log odds of running it.

    For 32-pixel images it is a ResNet-8. 224-pixel images are average-pooled by 2 for a ResNet-10. An untrained policy
    runs every unit with about `open_probability`: the head's bias is its log odds, and its kernel starts small.

    A trunk spares the policy learning to see, which the paper does not try: the very layers of a trained network are
    taken over under a new head, so give it a network that nothing else uses.

        policy = kd.models.policy_resnet(15, trunk=kd.zoo.load("resnet8_cifar10_45k"))

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels: 32, or 224 to have them pooled.
        trunk: plain resnet_cifar or resnet_imagenet whose stem and units the policy takes; None makes a new one.
        open_probability: in (0, 1).
        name: of the model.

    Returns:
        DynamicModel, unbuilt. It takes images [batch, image_size, image_size, 3] with pixel values 0
        to 255, uint8 or float, and gives logits, float32 [batch, units].

    Raises:
        ValueError: if units is no positive int, the size is unknown, open_probability is outside (0, 1), the trunk is
            no DynamicModel or decides something itself, or its images cannot be pooled because its stem does not
            start with NormalizePixels.

    Source: BlockDrop (Wu et al. 2018), section 4.1.
    """
    if not isinstance(units, int) or units < 1:
        raise ValueError(f"units must be a positive int, one per unit that the policy decides, got {units!r}.")
    if image_size not in IMAGE_SIZES:
        raise ValueError(f"image_size must be one of {IMAGE_SIZES}, got {image_size!r}; resize the images.")
    if check_fraction("open_probability", open_probability) in (0.0, 1.0):
        raise ValueError(f"open_probability must lie strictly between 0 and 1, got {open_probability!r}; try 0.5.")
    if trunk is None:
        trunk = resnet_cifar(8) if image_size == 32 else resnet_imagenet((1, 1, 1, 1), block="basic")
    elif not isinstance(trunk, DynamicModel) or not isinstance(trunk.decider, Always):
        raise ValueError(
            f"trunk must be a plain network of models.resnet_cifar or models.resnet_imagenet, got {_described(trunk)}."
        )
    stem = trunk.chain.stem if image_size == 32 else _pooled(trunk)
    answer = layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(math.log(open_probability / (1.0 - open_probability))),
        dtype="float32",  # log odds, under mixed precision too
        name="logits",
    )
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
