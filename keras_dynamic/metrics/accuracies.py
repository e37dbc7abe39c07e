"""How often images are answered rightly, at once or within five guesses (NumPy)."""

import numpy as np

_FEW_CLASSES = 10  # up to which the right one is among five by luck too often to say anything


def top_k_accuracy(scores, labels, k) -> float:
    """Returns the share of images whose class is among the k that score highest.

    Args:
        scores: logits or probabilities, [n, classes]; of equal ones the lower class comes first, NaN is never right.
        labels: classes, int [n].
        k: how many guesses an image has, at least 1.

    Returns:
        A fraction.

    Raises:
        ValueError: if scores and labels are not of as many images, or k is under 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels).reshape(-1)
    if scores.ndim != 2 or len(scores) != len(labels):
        raise ValueError(
            f"expected scores [n, classes] and labels [n], got shapes {list(scores.shape)} and {list(labels.shape)}."
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < scores.shape[1]:
        raise ValueError(
            f"expected labels from 0 to {scores.shape[1] - 1}, the network's classes, got some from {labels.min()} to "
            f"{labels.max()}."
        )
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k!r}; 1 and 5 are usual.")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    later = (scores < own) | ((scores == own) & (np.arange(scores.shape[1]) >= labels[:, None]))
    return float(((~later).sum(axis=1) < k).mean())


def accuracies(scores, labels) -> dict:
    """Returns the accuracies that are worth telling.

    Args:
        scores: logits or probabilities, [n, classes].
        labels: classes, int [n].

    Returns:
        'accuracy', and of more than 10 classes 'accuracy_top5', fractions.

    Raises:
        ValueError: if scores and labels are not of as many images.
    """
    found = {"accuracy": top_k_accuracy(scores, labels, 1)}
    if np.shape(scores)[1] > _FEW_CLASSES:
        found["accuracy_top5"] = top_k_accuracy(scores, labels, 5)
    return found
