"""Small residual networks that decide from the image: policies."""

import math

import keras

from keras_dynamic.models.policy_network import check_policy, policy_network


def policy_resnet(units, image_size=32, trunk=None, open_probability=0.5, pool=None, name="policy"):
    """Returns a policy network: from an image to one logit per unit, the log odds of running it.

    For 32-pixel images it is a ResNet-8. 224-pixel images are average-pooled by 2 for a ResNet-10. An untrained policy
    runs every unit with about `open_probability`: the head's bias is its log odds, and its kernel starts small.

    A trunk spares the policy learning to see, which the paper does not try: the very layers of a trained network are
    taken over under a new head, so give it a network that nothing else uses.

        policy = kd.models.policy_resnet(15, trunk=kd.zoo.load("resnet8_cifar10_45k"))

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels: 32 or 224.
        trunk: plain resnet_cifar or resnet_imagenet whose stem and units the policy takes; None makes a new one.
        open_probability: in (0, 1).
        pool: pixels averaged along each side before the trunk sees them, an int; None takes the paper's 1 for 32 pixels
            and 2 for 224. With 2 the policy costs a quarter.
        name: of the model.

    Returns:
        DynamicModel, unbuilt. It takes images [batch, image_size, image_size, 3] with pixel values 0
        to 255, uint8 or float, and gives logits, float32 [batch, units].

    Raises:
        ValueError: if units is no positive int, the size is unknown, open_probability is outside (0, 1), pool is no
            divisor of the size that leaves 8 pixels, the trunk is no DynamicModel or decides something itself, or its
            images cannot be pooled because its stem does not start with NormalizePixels.

    Source: BlockDrop (Wu et al. 2018), section 4.1.
    """
    check_policy(units, image_size, trunk, open_probability, pool)
    answer = keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(math.log(open_probability / (1.0 - open_probability))),
        dtype="float32",  # log odds, under mixed precision too
        name="logits",
    )
    return policy_network(answer, image_size, trunk, pool, name)
