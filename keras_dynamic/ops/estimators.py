"""Gradient estimators: straight-through rounding, binary Gumbel sampling, scaled gradients."""

import math

import keras
from keras import ops

from keras_dynamic.messages import did_you_mean


def scale_gradient(x, factor):
    """Returns x, with its gradient multiplied by factor.

    Args:
        x: float tensor of any shape.
        factor: float; 0 stops the gradient.

    Source: IMTA, equations 4 and 5 (gradient equilibrium).
    """
    x = ops.convert_to_tensor(x)
    held = ops.stop_gradient(x)
    return held + (x - held) * ops.cast(factor, x.dtype)


_BOUND = 1e4  # stands for the infinite log odds of 0 and 1; no network's logit comes near it


def log_odds(probability):
    """Returns log(p / (1 - p)), -1e4 for 0 and 1e4 for 1, a tensor of the same shape.

    Args:
        probability: float tensor in [0, 1], of any shape.
    """
    return ops.clip(ops.log(probability) - ops.log1p(-probability), -_BOUND, _BOUND)


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
            f"estimator must be one of {sorted(ESTIMATORS)}, got {estimator!r}{did_you_mean(estimator, ESTIMATORS)}."
        )
    x = ops.convert_to_tensor(x)
    hard = ops.cast(x > 0.5, x.dtype)
    slope = ops.stop_gradient(ESTIMATORS[estimator](x))
    return ops.stop_gradient(hard) + (x - ops.stop_gradient(x)) * slope


def logistic_noise(shape, seed=None):
    """Samples the difference of two independent Gumbel variables, which is logistic.

    Args:
        shape: shape of the sample.
        seed: int, keras.random.SeedGenerator or None.

    Returns:
        float32 tensor of this shape.
    """
    uniform = keras.random.uniform(shape, minval=1e-7, maxval=1.0 - 1e-7, dtype="float32", seed=seed)
    return ops.log(uniform) - ops.log1p(-uniform)


def binary_gumbel(logits, temperature=1.0, hard=True, noise=None, seed=None):
    """Samples 0/1 decisions that are 1 with probability sigmoid(logits), differentiably.

    With two logits w0 (off) and w1 (on), the categorical Gumbel-softmax depends on them through w1 - w0 alone, and the
    difference of the two Gumbel variables is logistic: Z = 1 where w1 - w0 + noise > 0. The gradient is that of
    the soft sample sigmoid((w1 - w0 + noise) / temperature).

    Args:
        logits: float tensor of any shape, w1 - w0.
        temperature: positive float or scalar tensor.
        hard: True for 0/1 values with the soft sample's gradient, False for the soft sample itself.
        noise: logistic noise of the logits' shape; None samples it.
        seed: int, keras.random.SeedGenerator or None, used if noise is None.

    Returns:
        float32 tensor of the logits' shape, in {0, 1} if hard, else in (0, 1).

    Source: Herrmann et al., section 3.2 (temperature 1, hard); Jang et al. 2017; Maddison et al. 2017.
    """
    logits = ops.cast(logits, "float32")
    noise = logistic_noise(ops.shape(logits), seed) if noise is None else ops.cast(noise, "float32")
    noisy = logits + noise
    soft = ops.sigmoid(noisy / temperature)
    if not hard:
        return soft
    return ops.stop_gradient(ops.cast(noisy > 0, "float32")) + (soft - ops.stop_gradient(soft))
