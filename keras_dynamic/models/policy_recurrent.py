"""Policies that answer unit by unit, by an LSTM over what a small residual network sees in the image."""

from keras_dynamic.layers import RecurrentScores
from keras_dynamic.models.policy_network import check_policy, policy_network


def policy_recurrent(units, image_size=32, trunk=None, open_probability=0.5, hidden=64, pool=None, name="policy"):
    """Returns a recurrent policy network: from an image to one logit per unit, the log odds of running it.

    The trunk is that of policy_resnet. Its pooled features are the input of each of `units` steps of an LSTM, and one
    dense layer, the same at every step, reads the unit's logit from the state. All logits are known before the first
    unit runs. The paper found a CNN alone more efficient, and as good.

        policy = kd.models.policy_recurrent(15, trunk=kd.zoo.load("resnet8_cifar10_45k"))

    Args:
        units: decisions to make, at least 1.
        image_size: side of the images in pixels: 32 or 224.
        trunk: plain resnet_cifar or resnet_imagenet whose stem and units the policy takes; None makes a new one.
        open_probability: of an untrained policy, about, in (0, 1).
        hidden: size of the LSTM's state.
        pool: pixels averaged along each side before the trunk sees them, an int; None takes the paper's 1 for 32 pixels
            and 2 for 224. With 2 the policy costs a quarter.
        name: of the model.

    Returns:
        DynamicModel, unbuilt. It takes images [batch, image_size, image_size, 3] with pixel values 0
        to 255, uint8 or float, and gives logits, float32 [batch, units].

    Raises:
        ValueError: as policy_resnet, or if hidden is no positive int.

    Source: BlockDrop (Wu et al. 2018), section 4.1, which mentions it and gives no details.
    """
    check_policy(units, image_size, trunk, open_probability, pool)
    answer = RecurrentScores(units, hidden, open_probability, name="logits")
    return policy_network(answer, image_size, trunk, pool, name)
