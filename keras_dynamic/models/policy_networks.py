"""Policy networks, from an image to one logit per unit, and SGAD's guideline network."""

import math

import keras
from keras import layers

from keras_dynamic.layers import Always, Chain, DynamicModel, NormalizePixels, RecurrentScores, Residual
from keras_dynamic.messages import check_open_probability, is_count
from keras_dynamic.models.resnet import convolution, normalize_pixels, resnet_cifar, resnet_imagenet

_LARGE = 64  # pixels from which on images are averaged by 2, and the policy is one for large images, as the paper's 224


def _policy(answer, units, image_size, trunk, open_probability, pool, name):
    """Returns a policy network, whose arguments are those of policy_resnet: trunk, global average pool, answer().

    Raises:
        ValueError: as policy_resnet.
    """
    if not is_count(units):
        raise ValueError(f"units must be a positive int, one per unit that the policy decides, got {units!r}.")
    if not is_count(image_size, 16):
        raise ValueError(f"image_size must be the images' side in pixels, at least 16, got {image_size!r}.")
    pools = [each for each in range(1, image_size // 8 + 1) if image_size % each == 0]  # 8 pixels and more are left
    if pool is not None and (not is_count(pool) or pool not in pools):
        raise ValueError(
            f"pool, the pixels averaged along each side, must be one of {pools} for {image_size} pixels, got {pool!r}."
        )
    check_open_probability(open_probability)
    if trunk is None:
        small = image_size < _LARGE
        trunk = resnet_cifar(8) if small else resnet_imagenet((1, 1, 1, 1), block="basic")
    if not isinstance(trunk, DynamicModel) or not isinstance(trunk.decider, Always):
        raise ValueError(
            f"trunk must be a plain network of models.resnet_cifar or models.resnet_imagenet, got {_described(trunk)}."
        )
    if pool is None:
        pool = 1 if image_size < _LARGE or image_size % 2 else 2
    stem, parts = (trunk.chain.stem, trunk.chain.units) if pool == 1 else _pooled(trunk, pool)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), answer()], name="head")
    return DynamicModel(Chain(stem, parts, head, name="chain"), name=name)


def _pooled(trunk, pool):
    """Returns the trunk's stem and units for pixels averaged over squares, after normalisation to floats."""
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


def policy_resnet(units, image_size=32, trunk=None, open_probability=0.5, pool=None, name="policy"):
    """Returns a policy network: from an image to one logit per unit, the log odds of running it.

    For images of under 64 pixels it is a ResNet-8, as the paper's for 32. Larger ones are average-pooled by 2 for a
    ResNet-10, as the paper's of 224; where the side is odd they are not pooled. An untrained policy
    runs every unit with about `open_probability`: the head's bias is its log odds, and its kernel starts small.

    With a trunk, the policy starts from the layers of a trained network under a new head, which the paper does not try.
    The layers themselves are used, not copied: give a network that nothing else uses.

        policy = kd.models.policy_resnet(15, trunk=kd.zoo.load("resnet8_cifar10_45k"))

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels, at least 16.
        trunk: plain resnet_cifar or resnet_imagenet whose stem and units the policy uses; None makes a new one.
        open_probability: in (0, 1).
        pool: pixels averaged along each side before the trunk, an int; None takes 1 or 2, as above. With 2 the policy
            costs a quarter.
        name: of the model.

    Returns:
        DynamicModel, unbuilt. It takes images [batch, image_size, image_size, channels] with pixel
        values 0 to 255, uint8 or float, and returns logits, float32 [batch, units].

    Raises:
        ValueError: if units is no positive int, the size is under 16, open_probability is outside (0, 1), pool is no
            divisor of the size that leaves 8 pixels, the trunk is no DynamicModel or decides something itself, or
            images must be pooled and its stem does not start with NormalizePixels.

    Source: BlockDrop (Wu et al. 2018), section 4.1.
    """

    def answer():
        return layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(math.log(open_probability / (1.0 - open_probability))),
            dtype="float32",  # log odds, under mixed precision too
            name="logits",
        )

    return _policy(answer, units, image_size, trunk, open_probability, pool, name)


def policy_recurrent(units, image_size=32, trunk=None, open_probability=0.5, hidden=64, pool=None, name="policy"):
    """Returns a recurrent policy network: from an image to one logit per unit, the log odds of running it.

    The pooled features of policy_resnet's trunk are the input of each of `units` steps of an LSTM, and one dense layer,
    the same at every step, computes the unit's logit from the state. All logits are computed before the first unit
    runs. The paper found a CNN alone more efficient, and as good.

        policy = kd.models.policy_recurrent(15, trunk=kd.zoo.load("resnet8_cifar10_45k"))

    Args, Returns and Raises as policy_resnet, and:
        hidden: size of the LSTM's state, a positive int.

    Source: BlockDrop (Wu et al. 2018), section 4.1, which mentions it without details.
    """

    def answer():
        return RecurrentScores(units, hidden, open_probability, name="logits")

    return _policy(answer, units, image_size, trunk, open_probability, pool, name)


def guideline_network(num_classes=10, filters=(32, 64, 128), name="guideline", inputs="images"):
    """Returns a small CNN: convolutions of stride 2 with batch norm and ReLU, global average pool, logits.

    Images on which a small network is confident are easy; it should not be so large that it is confident on every
    training image. The paper leaves the layers open.

    Args:
        num_classes: number of classes.
        filters: of each convolution.
        name: of the model.
        inputs: 'images', [batch, height, width, channels] with pixel values 0 to 255; 'sequences', [batch, steps,
            features], or 'vectors', [batch, features], of any range, which a batch norm normalises; vectors get dense
            layers instead of convolutions.

    Returns:
        keras.Sequential, unbuilt, to logits, float32 [batch, num_classes].

    Raises:
        ValueError: if there are fewer than two classes, no filters, or inputs is unknown.

    Source: SGAD (Wang et al. 2018), figure 2(c).
    """
    if not is_count(num_classes, 2):
        raise ValueError(f"num_classes must be an int of at least 2, got {num_classes!r}.")
    if not filters:
        raise ValueError(f"filters must have an entry for each convolution, at least one, got {filters!r}.")
    if inputs not in ("images", "sequences", "vectors"):
        raise ValueError(f"inputs must be 'images', 'sequences' or 'vectors', got {inputs!r}.")
    parts = [normalize_pixels() if inputs == "images" else layers.BatchNormalization()]
    for channels in filters:
        if inputs == "images":
            parts += convolution(channels, 3, 2)
        elif inputs == "sequences":
            parts += [layers.Conv1D(channels, 3, 2, padding="same", use_bias=False), layers.BatchNormalization()]
        else:
            parts += [layers.Dense(channels, use_bias=False), layers.BatchNormalization()]
        parts.append(layers.ReLU())
    pools = {"images": [layers.GlobalAveragePooling2D()], "sequences": [layers.GlobalAveragePooling1D()]}
    parts += [*pools.get(inputs, []), layers.Dense(num_classes, dtype="float32", name="logits")]
    return keras.Sequential(parts, name=name)
