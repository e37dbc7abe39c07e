"""What policies that look at the image share: a residual trunk, pooled features, a head that answers per unit."""

import keras
from keras import layers

from keras_dynamic.layers import Always, Chain, DynamicModel, NormalizePixels, Residual
from keras_dynamic.messages import check_open_probability, is_count
from keras_dynamic.models.resnet_cifar import resnet_cifar
from keras_dynamic.models.resnet_imagenet import resnet_imagenet

POOLS = {32: 1, 224: 2}  # the paper's, by the side of the images


def check_policy(units, image_size, trunk, open_probability, pool):
    """Raises if a policy network cannot be made of these.

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels: 32 or 224.
        trunk: plain network or None.
        open_probability: in (0, 1).
        pool: pixels averaged along each side, or None.

    Raises:
        ValueError: as policy_resnet says.
    """
    if not is_count(units):
        raise ValueError(f"units must be a positive int, one per unit that the policy decides, got {units!r}.")
    if image_size not in POOLS:
        raise ValueError(f"image_size must be one of {tuple(POOLS)}, got {image_size!r}; resize the images.")
    if pool is not None and (not is_count(pool) or pool not in _pools(image_size)):
        raise ValueError(
            f"pool, the pixels averaged along each side, must be one of {_pools(image_size)} for {image_size} pixels, "
            f"got {pool!r}."
        )
    check_open_probability(open_probability)
    if trunk is not None and (not isinstance(trunk, DynamicModel) or not isinstance(trunk.decider, Always)):
        raise ValueError(
            f"trunk must be a plain network of models.resnet_cifar or models.resnet_imagenet, got {_described(trunk)}."
        )


def _pools(image_size):
    """Returns the divisors of a size that leave 8 pixels and more."""
    return [pool for pool in range(1, image_size // 8 + 1) if image_size % pool == 0]


def policy_network(answer, image_size, trunk, pool, name):
    """Returns a policy network: trunk, global average pool, answer.

    Args:
        answer: layer from the pooled features [batch, features] to logits [batch, units].
        image_size: side of the images in pixels: 32 or 224.
        trunk: plain network whose stem and units it takes; None makes a ResNet-8, or a ResNet-10 for 224 pixels.
        pool: pixels averaged along each side; None takes 1 for 32 pixels, 2 for 224.
        name: of the model.

    Returns:
        DynamicModel, unbuilt.

    Raises:
        ValueError: if images cannot be pooled, because the trunk's stem does not start with NormalizePixels.
    """
    if trunk is None:
        trunk = resnet_cifar(8) if image_size == 32 else resnet_imagenet((1, 1, 1, 1), block="basic")
    pool = pool or POOLS[image_size]
    stem, units = (trunk.chain.stem, trunk.chain.units) if pool == 1 else _pooled(trunk, pool)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), answer], name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name)


def _pooled(trunk, pool):
    """Returns the trunk's stem and units for pixels averaged over squares; after normalisation, which gives floats."""
    first, *rest = getattr(trunk.chain.stem, "layers", [trunk.chain.stem])
    if not isinstance(first, NormalizePixels):
        raise ValueError(
            f"images are pooled after NormalizePixels, and the stem of trunk {trunk.name!r} starts with "
            f"{type(first).__name__} {first.name!r}; give a resnet_cifar or resnet_imagenet."
        )
    stem = keras.Sequential([first, layers.AveragePooling2D(pool), *rest], name="stem")
    return stem, [_any_size(unit) for unit in trunk.chain.units]


def _any_size(unit):
    """Returns a residual unit of the same layers that may be built for another size: a built Sequential may not."""
    body, shortcut = (
        keras.Sequential(part.layers, name=part.name) if isinstance(part, keras.Sequential) else part
        for part in (unit.body, unit.shortcut)
    )
    return Residual(body, shortcut, unit.activation, unit.mask, name=unit.name)


def _described(trunk):
    if not isinstance(trunk, DynamicModel):
        return f"{type(trunk).__name__} {getattr(trunk, 'name', trunk)!r}"
    return f"{trunk.name!r}, in which a {type(trunk.decider).__name__} decides"
