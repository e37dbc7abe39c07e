"""Losses that hold activation near a target rate."""

from keras import ops


def batch_activation(decisions, target, const_quad=False):
    """Returns (target - mean of all decisions in the batch)^2: one rate for the whole network.

    Args:
        decisions: float tensor, [gates, batch], 0/1 (or soft) decisions.
        target: target rate in [0, 1], scalar.
        const_quad: True for no penalty where the rate is at most the target.

    Returns:
        Scalar tensor.

    Source: Herrmann et al., equation 1; equation 3 (const-quad, with the 1 / (|G||B|) that its Q lacks).
    """
    return _squared(target - ops.mean(decisions), const_quad)


def per_gate(decisions, target, const_quad=False):
    """Returns the mean over gates of (target - mean of the gate's decisions in the batch)^2.

    Args:
        decisions: float tensor, [gates, batch].
        target: scalar, or [gates] for a target per gate.
        const_quad: True for no penalty where a gate's rate is at most its target.

    Returns:
        Scalar tensor.

    Source: AIG, as L_G in Herrmann et al., section 3.1.
    """
    return ops.mean(_squared(target - ops.mean(decisions, axis=1), const_quad))


def mac_weighted(cost, target, const_quad=False):
    """Returns (target - mean cost)^2: every decision weighs as much as the MACs that it saves.

    Args:
        cost: float tensor, [batch], MACs over the MACs of everything on.
        target: target fraction in [0, 1], scalar.
        const_quad: True for no penalty where the cost is at most the target.

    Returns:
        Scalar tensor.

    Source: Herrmann et al., section 3.4 (L_FLOPs).
    """
    return _squared(target - ops.mean(cost), const_quad)


def _squared(shortfall, const_quad):
    return ops.square(ops.minimum(shortfall, 0.0) if const_quad else shortfall)


ACTIVATION_LOSSES = ("batch", "per_gate", "macs")
