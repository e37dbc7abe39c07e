"""Straight-through rounding: a hard 0/1 value forward, a chosen slope backward."""

import math

from keras import ops

from keras_dynamic.messages import near


def _identity_slope(x):
    return ops.ones_like(x)


def _clipped_slope(x):
    return ops.cast(ops.logical_and(x >= 0, x <= 1), x.dtype)


def _sinc_slope(x):
    angle = 2.0 * math.pi * (x - 0.5)
    safe = ops.where(ops.abs(angle) < 1e-6, ops.ones_like(angle), angle)
    return ops.where(ops.abs(angle) < 1e-6, ops.ones_like(angle), ops.sin(safe) / safe)


ESTIMATORS = {"identity": _identity_slope, "clipped": _clipped_slope, "sinc": _sinc_slope}


def round_straight_through(x, estimator="identity"):
    """Rounds to 0 or 1 at 0.5, with a surrogate gradient.

    The value is exactly 0 or 1. The gradient is the incoming one times the estimator's slope at x:
    identity 1; clipped 1 on [0, 1] and 0 outside; sinc sin(2 pi (x - 1/2)) / (2 pi (x - 1/2)), which is 1 at the
    threshold and 0 at 0 and 1. SGAD names a sinc estimator without its formula; this is the one chosen here.

    Args:
        x: float tensor of any shape, usually probabilities.
        estimator: 'identity', 'clipped' or 'sinc'.

    Returns:
        Tensor of 0. and 1., shape and dtype of x. x = 0.5 gives 0.

    Raises:
        ValueError: if the estimator is none of the three.

    Source: Bengio et al. 2013 (identity, clipped); SGAD, section 3.2 (sinc).
    """
    if estimator not in ESTIMATORS:
        raise ValueError(
            f"estimator must be one of {sorted(ESTIMATORS)}, got {estimator!r}{near(estimator, ESTIMATORS)}."
        )
    x = ops.convert_to_tensor(x)
    hard = ops.cast(x > 0.5, x.dtype)
    slope = ops.stop_gradient(ESTIMATORS[estimator](x))
    return ops.stop_gradient(hard) + (x - ops.stop_gradient(x)) * slope
