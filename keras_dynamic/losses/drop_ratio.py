"""The loss that asks each image for its own share of units."""

from keras import ops


def drop_ratio(decisions, expected, units):
    """Returns the mean over images of |expected - (1 - units that run / units)|.

    Args:
        decisions: float tensor, [decided units, batch], 0/1 with a gradient.
        expected: share of units that an image should drop, float tensor [batch] or scalar; its gradient is stopped, or
            whoever expects would learn to be unsure.
        units: number of units, those that always run included.

    Returns:
        Scalar tensor.

    Source: SGAD, equation 10.
    """
    dropped = ops.sum(1.0 - decisions, axis=0) / units
    return ops.mean(ops.abs(ops.stop_gradient(expected) - dropped))
