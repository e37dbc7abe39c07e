"""How certain logits are: three measures that all rise with certainty."""

import math

import keras
from keras import ops

from keras_dynamic.messages import near


def max_probability(logits):
    """Returns the largest softmax probability.

    Args:
        logits: float tensor, [batch, classes].

    Returns:
        float tensor, [batch], in [1/classes, 1].
    """
    return ops.max(ops.softmax(logits, axis=-1), axis=-1)


def entropy_confidence(logits):
    """Returns 1 - entropy / ln(classes).

    Args:
        logits: float tensor, [batch, classes].

    Returns:
        float tensor, [batch], in [0, 1].
    """
    log_p = ops.log_softmax(logits, axis=-1)
    return 1.0 + ops.sum(ops.exp(log_p) * log_p, axis=-1) / math.log(logits.shape[-1])


def margin(logits):
    """Returns the difference of the two largest logits, without a top-k operation.

    The largest logit's place is filled with the smallest logit; the maximum of that is the second largest.

    Args:
        logits: float tensor, [batch, classes], at least two classes.

    Returns:
        float tensor, [batch], at least 0.
    """
    classes = logits.shape[-1]
    is_top = ops.one_hot(ops.argmax(logits, axis=-1), classes, dtype="bool")
    rest = ops.where(is_top, ops.min(logits, axis=-1, keepdims=True), logits)
    return ops.max(logits, axis=-1) - ops.max(rest, axis=-1)


MEASURES = {"max_probability": max_probability, "entropy": entropy_confidence, "margin": margin}


def confidence(logits, measure="max_probability"):
    """Returns a measure of certainty by name.

    Args:
        logits: float tensor, [batch, classes].
        measure: 'max_probability', 'entropy' or 'margin'.

    Returns:
        float tensor, [batch]; all three rise with certainty.

    Raises:
        ValueError: if the measure is none of the three.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {sorted(MEASURES)}, got {measure!r}{near(measure, MEASURES)}.")
    return MEASURES[measure](keras.ops.convert_to_tensor(logits))
