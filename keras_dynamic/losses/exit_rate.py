"""The loss on exits that too few images take."""

from keras import ops


def exit_rate(going, target):
    """Returns the mean over exits of (target - exit rate)^2 where the rate is below the target, of 0 elsewhere.

    An exit's rate is the share of images that stop there among those that reach it: it is the rate of the one decision
    that its gate makes, so that one target serves all exits, whatever those before them do. Each exit answers for its
    own rate: how many images reach it has no gradient. An exit that no image reaches costs nothing.

    Args:
        going: float tensor, [exits, batch], in order: 1 for an image that goes on behind the exit, 0 for one that stops
            there or has stopped before.
        target: target rate in [0, 1], scalar, or [exits] for a target per exit.

    Returns:
        Scalar tensor.

    Source: Herrmann et al., section 5. S1.5 cites equation 3, which as printed penalises rates above a target; applied
    to the rate of going on it is the same. The paper does not say among which images the rate is taken.
    """
    going = ops.convert_to_tensor(going, "float32")
    reached = ops.concatenate([ops.ones_like(going[:1]), ops.stop_gradient(going[:-1])])
    stopped = ops.sum(reached - going, axis=1)
    rate = stopped / ops.maximum(ops.sum(reached, axis=1), 1e-7)
    some = ops.cast(ops.sum(reached, axis=1) > 0, "float32")
    return ops.mean(some * ops.square(ops.relu(target - rate)))
