"""Targets that follow the activation which a network has."""

VARIABLE_TARGETS = ("moving", "exponential")


def moving_target(target, rate, seen):
    """Returns the mean of the values that a target has averaged so far and a batch's rate.

    Args:
        target: mean of the values so far, the first of which is the rate that the epoch started with.
        rate: activation rate of a batch, of the target's shape.
        seen: how many values these are, at least 1.

    Returns:
        Tensor of the target's shape.

    Source: Herrmann et al., section S1.2 (variable target rate, moving average). The paper has no formula; that the
    start counts as one batch is a choice of this project.
    """
    return target + (rate - target) / (seen + 1.0)


def exponential_target(target, rate, momentum):
    """Returns momentum * target + (1 - momentum) * rate.

    Args:
        target: target rate so far.
        rate: activation rate of a batch, of the target's shape.
        momentum: share of the old target, in [0, 1].

    Returns:
        Tensor of the target's shape.

    Source: Herrmann et al., section S1.2 (variable target rate, exponential moving average).
    """
    return momentum * target + (1.0 - momentum) * rate
