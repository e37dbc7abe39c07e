"""Accuracy, top-5 accuracy and calibration (NumPy)."""

from typing import NamedTuple

import numpy as np

from keras_dynamic.ops import class_numbers

_FEW_CLASSES = 10  # up to which the right one is among five by chance too often to be informative


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
    """Returns the accuracy and, for more than 10 classes, the top-5 accuracy.

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


class Calibration(NamedTuple):
    """Images in bins of equal width by confidence; bins without images are left out.

    Attributes:
        error: expected calibration error: mean over images of |accuracy - confidence| of their bins.
        confidences: mean confidence in each bin.
        accuracies: share of right answers in each bin.
        shares: of the images in each bin.
    """

    error: float
    confidences: list[float]
    accuracies: list[float]
    shares: list[float]


def calibration(confidences, correct, bins=15) -> Calibration:
    """Returns the Calibration of confidences: how well they agree with the accuracy.

    Args:
        confidences: largest probability per image, float [n], in [0, 1].
        correct: whether the answer is right, bool [n].
        bins: of equal width; a bin holds its upper end.

    Raises:
        ValueError: if there are no images, not as many answers as confidences, a confidence is outside [0, 1], or there
            is no bin.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.
    """
    confidences, correct = np.asarray(confidences, float), np.asarray(correct, bool)
    if confidences.ndim != 1 or confidences.shape != correct.shape or not len(correct):
        raise ValueError(
            f"calibration takes a confidence and an answer for each of n >= 1 images, got shapes "
            f"{list(confidences.shape)} and {list(correct.shape)}; give [n] and [n]."
        )
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError("confidences must be probabilities in [0, 1]; give the largest of each image's softmax.")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins!r}.")
    place = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    members = [place == k for k in np.unique(place)]
    sure = [float(confidences[chosen].mean()) for chosen in members]
    right = [float(correct[chosen].mean()) for chosen in members]
    share = [float(chosen.mean()) for chosen in members]
    error = float(np.dot(share, np.abs(np.subtract(right, sure))))
    return Calibration(error, sure, right, share)
