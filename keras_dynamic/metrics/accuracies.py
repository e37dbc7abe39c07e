"""How often images are answered rightly, at once or within five guesses (NumPy)."""

import numpy as np

from keras_dynamic.ops import class_numbers

_FEW_CLASSES = 10  # up to which the right one is among five by luck too often to say anything


def top_k_accuracy(scores, labels, k) -> float:
    """Returns the share of images whose class is among the k that score highest.

    Args:
        scores: logits or probabilities, [n, classes]; of equal ones the lower class comes first, NaN is never right.
        labels: class numbers [n], or one-hot [n, classes].
        k: how many guesses an image has, at least 1.

    Returns:
        A fraction.

    Raises:
        ValueError: if labels are not one class per image, from 0 to classes - 1, or k is under 1.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2:
        raise ValueError(f"expected scores [n, classes], got shape {list(scores.shape)}.")
    labels = class_numbers(labels, scores.shape[1], len(scores))
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k!r}; 1 and 5 are usual.")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    later = (scores < own) | ((scores == own) & (np.arange(scores.shape[1]) >= labels[:, None]))
    return float(((~later).sum(axis=1) < k).mean())


def accuracies(scores, labels) -> dict:
    """Returns the accuracies that are worth telling.

    Args:
        scores: logits or probabilities, [n, classes].
        labels: class numbers [n], or one-hot [n, classes].

    Returns:
        'accuracy', and of more than 10 classes 'accuracy_top5', fractions.

    Raises:
        ValueError: if labels are not one class per image, from 0 to classes - 1.
    """
    found = {"accuracy": top_k_accuracy(scores, labels, 1)}
    if np.shape(scores)[1] > _FEW_CLASSES:
        found["accuracy_top5"] = top_k_accuracy(scores, labels, 5)
    return found
