"""Confidence of logits, the predicted class, and temperature scaling."""

import math

import keras
import numpy as np
from keras import ops

from keras_dynamic.messages import did_you_mean
from keras_dynamic.ops.labels import check_classes, class_numbers


def max_probability(logits):
    """Returns the largest softmax probability, float tensor [...] in [1 / classes, 1], of logits [..., classes]."""
    return ops.max(ops.softmax(logits, axis=-1), axis=-1)


def entropy_confidence(logits):
    """Returns 1 - entropy / ln(classes), float tensor [...] in [0, 1], of logits [..., classes]."""
    log_p = ops.log_softmax(logits, axis=-1)
    entropy = ops.sum(ops.softmax(logits, axis=-1) * log_p, axis=-1) / math.log(logits.shape[-1])
    return ops.maximum(1.0 + entropy, 0.0)  # rounding would leave some -1e-7


def margin(logits):
    """Returns the difference of the two largest logits, without top-k or argmax, which TFLite lacks on some devices.

    A tournament: the largest never loses, and the second largest is the best of the losers. Equal logits, frequent in
    int8, are 0 apart.

    Args:
        logits: float tensor, [..., classes], at least two classes.

    Returns:
        float tensor, [...], at least 0.
    """
    left, losers = logits, []
    while (count := left.shape[-1]) > 1:
        one, other = left[..., : count // 2], left[..., count // 2 : count // 2 * 2]
        losers.append(ops.minimum(one, other))
        winners = ops.maximum(one, other)
        left = ops.concatenate([winners, left[..., -1:]], axis=-1) if count % 2 else winners
    return ops.squeeze(left, -1) - ops.max(ops.concatenate(losers, axis=-1), axis=-1)


def label_probability(logits):
    """Returns the mean over labels of the probability of what is answered, float tensor [...] in [1 / 2, 1].

    Each of the logits [..., labels] says whether a label applies, with the probability of its sigmoid. The mean is the
    share of labels that are expected to be right.
    """
    return ops.mean(ops.sigmoid(ops.abs(logits)), axis=-1)


CONFIDENCES = {
    "max_probability": max_probability,
    "entropy": entropy_confidence,
    "margin": margin,
    "label_probability": label_probability,
}


def check_confidence(kind):
    """Returns a measure of confidence, or raises if it is none.

    Args:
        kind: a name in CONFIDENCES, or a function of logits that is registered with Keras, so that it can be saved.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(kind, type) or (callable(kind) and not hasattr(kind, "__name__")):
        raise ValueError(
            f"a confidence of your own must be a function, which is saved by its name, got {kind!r}; write a function "
            "that calls the object."
        )
    if callable(kind) and keras.saving.get_registered_name(kind) == getattr(kind, "__name__", None):
        raise ValueError(
            f"a confidence of your own must be registered, so that it is saved with the model, got {kind!r}; write "
            "@keras.saving.register_keras_serializable() above it."
        )
    if not callable(kind) and kind not in CONFIDENCES:
        raise ValueError(
            f"confidence must be a registered function or one of {sorted(CONFIDENCES)}, got {kind!r}"
            f"{did_you_mean(kind, CONFIDENCES)}."
        )
    return kind


def confidence_name(kind) -> str:
    """Returns the name of a measure of confidence."""
    return kind.__name__ if callable(kind) else kind


def confidence(logits, kind="max_probability"):
    """Returns a measure of certainty, which rises with it.

    Args:
        logits: float tensor, [batch, classes]; one logit is that of a binary classifier, whose other class has logit 0.
            Of logits at each pixel or step, [batch, ..., classes], the confidence is the mean.
        kind: 'max_probability', 'entropy' (1 - entropy / ln classes), 'margin' (difference of the two largest logits),
            'label_probability' (of several labels that may apply together), or a function of the logits that returns
            [batch].

    Returns:
        float tensor, [batch].

    Raises:
        ValueError: if kind is no measure of confidence.
    """
    kind = check_confidence(kind)
    logits = ops.convert_to_tensor(logits)
    if callable(kind):
        found = ops.convert_to_tensor(kind(logits))
        if len(found.shape) != 1:
            raise ValueError(
                f"confidence {confidence_name(kind)!r} must return one number per image, [batch], got shape "
                f"{tuple(found.shape)} for logits {tuple(logits.shape)}."
            )
        return found
    if logits.shape[-1] == 1 and kind != "label_probability":
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    found = CONFIDENCES[kind](logits)
    return ops.mean(found, axis=tuple(range(1, len(found.shape)))) if len(found.shape) > 1 else found


def predicted_class(logits):
    """Returns the index of the largest logit, the first of equal ones, an int32 tensor, [batch].

    It looks for the largest among marks, not among the logits: for floats keras.ops.argmax adds operations on their
    sign bits, which no int8 file can have.

    Args:
        logits: float tensor, [batch, classes].

    Raises:
        ValueError: if there is one logit per image.
    """
    logits = ops.convert_to_tensor(logits)
    check_classes(logits.shape[-1], "a predicted class")
    largest = logits >= ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(largest, "int8"), axis=-1)


_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def fit_temperature(logits, labels, low=0.05, high=20.0) -> float:
    """Returns the temperature of least mean cross entropy, by golden-section search on its logarithm.

    Cross entropy is convex in 1 / T, so it has one minimum in log T.

    Args:
        logits: float array, [n, classes].
        labels: class numbers [n], or one-hot [n, classes].
        low: least temperature tried.
        high: largest temperature tried.

    Returns:
        Temperature, to a relative precision of 1e-4.

    Raises:
        ValueError: if labels are not one class per image, from 0 to classes - 1.

    Source: Guo et al. 2017, section 4.2.
    """
    logits = np.asarray(logits, np.float64)
    labels = class_numbers(labels, logits.shape[1], len(logits))
    rows = np.arange(len(logits))

    def loss(log_t):
        scaled = logits / np.exp(log_t)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return (np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]).mean()

    a, b = np.log(low), np.log(high)
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c, at_d = loss(c), loss(d)
    while b - a > 1e-4:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = loss(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = loss(d)
    return float(np.exp((a + b) / 2.0))
