"""How certain logits are: three measures that all rise with certainty."""

import math

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
    return 1.0 + ops.sum(ops.softmax(logits, axis=-1) * log_p, axis=-1) / math.log(logits.shape[-1])


def margin(logits):
    """Returns the difference of the two largest logits, without top-k or argmax, which TFLite has not on every device.

    A tournament: who loses to nobody is the largest, and the second largest is the best of those who lost. Logits that
    are equal, as often in int8, are 0 apart.

    Args:
        logits: float tensor, [batch, classes], at least two classes.

    Returns:
        float tensor, [batch], at least 0.
    """
    left, losers = logits, []
    while (count := left.shape[-1]) > 1:
        one, other = left[:, : count // 2], left[:, count // 2 : count // 2 * 2]
        losers.append(ops.minimum(one, other))
        winners = ops.maximum(one, other)
        left = ops.concatenate([winners, left[:, -1:]], axis=-1) if count % 2 else winners
    return ops.squeeze(left, -1) - ops.max(ops.concatenate(losers, axis=-1), axis=-1)


MEASURES = {"max_probability": max_probability, "entropy": entropy_confidence, "margin": margin}


def confidence(logits, measure="max_probability"):
    """Returns a measure of certainty by name.

    Args:
        logits: float tensor, [batch, classes]; one logit is that of a binary classifier, whose other class has logit 0.
        measure: 'max_probability', 'entropy' or 'margin'.

    Returns:
        float tensor, [batch]; all three rise with certainty.

    Raises:
        ValueError: if the measure is none of the three.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {sorted(MEASURES)}, got {measure!r}{near(measure, MEASURES)}.")
    logits = ops.convert_to_tensor(logits)
    if logits.shape[-1] == 1:
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    return MEASURES[measure](logits)
