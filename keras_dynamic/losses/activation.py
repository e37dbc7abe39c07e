"""Losses that hold activation rates near a target."""

from keras import ops


def batch_activation(decisions, target, const_quad=False):
    """Returns (target - mean of all decisions in the batch)^2: one rate for the whole network; scalar tensor.

    Args:
        decisions: float tensor, [gates, batch], 0/1 (or soft) decisions.
        target: target rate in [0, 1], scalar.
        const_quad: True for no penalty where the rate is at most the target.

    Source: Herrmann et al., equation 1; equation 3 (const-quad, with the 1 / (|G||B|) that its Q lacks).
    """
    return _squared(target - ops.mean(decisions), const_quad)


def per_gate(decisions, target, const_quad=False):
    """Returns the mean over gates of (target - mean of the gate's decisions in the batch)^2, a scalar tensor.

    Args:
        decisions: float tensor, [gates, batch].
        target: scalar, or [gates] for a target per gate.
        const_quad: True for no penalty where a gate's rate is at most its target.

    Source: AIG, as L_G in Herrmann et al., section 3.1.
    """
    return ops.mean(_squared(target - ops.mean(decisions, axis=1), const_quad))


def mac_weighted(cost, target, const_quad=False):
    """Returns (target - mean cost)^2: every decision weighs as much as the MACs that it saves; scalar tensor.

    Args:
        cost: float tensor, [batch], MACs over the MACs of everything on.
        target: target fraction in [0, 1], scalar.
        const_quad: True for no penalty where the cost is at most the target.

    Source: Herrmann et al., section 3.4 (L_FLOPs).
    """
    return _squared(target - ops.mean(cost), const_quad)


def _squared(shortfall, const_quad):
    return ops.square(ops.minimum(shortfall, 0.0) if const_quad else shortfall)


ACTIVATION_LOSSES = ("batch", "per_gate", "macs")


def exit_rate(going, target):
    """Returns the mean over exits of (target - exit rate)^2 where the rate is below the target, of 0 elsewhere.

    An exit's rate is the share of images that stop there among those that reach it: it is the rate of the one decision
    that its gate makes, so that one target serves all exits, whatever those before them do. The number of
    images that reach an exit has no gradient. An exit that no image reaches costs nothing.

    Args:
        going: float tensor, [exits, batch], in order: 1 for an image that continues after the exit, 0 for one that
            stops there or has stopped before.
        target: target rate in [0, 1], scalar, or [exits] for a target per exit.

    Returns:
        Scalar tensor.

    Source: Herrmann et al., section 5. S1.5 cites equation 3, which as printed penalises rates above a target; applied
    to the rate of continuing it is the same. The paper does not define among which images the rate is taken.
    """
    going = ops.convert_to_tensor(going, "float32")
    reached = ops.concatenate([ops.ones_like(going[:1]), ops.stop_gradient(going[:-1])])
    stopped = ops.sum(reached - going, axis=1)
    rate = stopped / ops.maximum(ops.sum(reached, axis=1), 1e-7)
    some = ops.cast(ops.sum(reached, axis=1) > 0, "float32")
    return ops.mean(some * ops.square(ops.relu(target - rate)))


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
    """Returns momentum * target + (1 - momentum) * rate, a tensor of the target's shape.

    Args:
        target: target rate so far.
        rate: activation rate of a batch, of the target's shape.
        momentum: share of the old target, in [0, 1].

    Source: Herrmann et al., section S1.2 (variable target rate, exponential moving average).
    """
    return momentum * target + (1.0 - momentum) * rate


def drop_ratio(decisions, expected, units):
    """Returns the mean over images of |expected - (1 - units that run / units)|, a scalar tensor.

    Args:
        decisions: float tensor, [decided units, batch], 0/1 with a gradient.
        expected: share of units that an image should drop, float tensor [batch] or scalar; its gradient is stopped, or
            the guideline would learn to be unsure.
        units: number of units, those that always run included.

    Source: SGAD, equation 10.
    """
    dropped = ops.sum(1.0 - decisions, axis=0) / units
    return ops.mean(ops.abs(ops.stop_gradient(expected) - dropped))
