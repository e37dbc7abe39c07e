"""Statistics on which images run what, for any system with decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_dynamic.metrics import path_matrix, units_run
from keras_dynamic.report.schema import PerImage


class Path(NamedTuple):
    """A pattern of decisions and the images that take it.

    Attributes:
        runs: bool [units], in the network's order.
        images: Indices of the images, in the data's order.
        share: Fraction of all images that takes it.
        accuracy: Share of its images that are answered rightly.
    """

    runs: np.ndarray
    images: np.ndarray
    share: float
    accuracy: float


def is_right(evaluation: PerImage) -> np.ndarray:
    """Whether each image is answered rightly, bool [n]."""
    return np.asarray(evaluation.predictions) == np.asarray(evaluation.labels)


def dominant_paths(evaluation: PerImage, count: int) -> list[Path]:
    """Finds the paths that most images take.

    Args:
        evaluation: What a network did with each image; at least one decision.
        count: How many paths; fewer if there are fewer.

    Returns:
        The most frequent path first; of equally frequent ones, that with fewer units.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 4.
    """
    matrix, right = path_matrix(evaluation.decisions), is_right(evaluation)
    paths, place, frequency = np.unique(matrix, axis=0, return_inverse=True, return_counts=True)
    found = []
    for k in np.lexsort((paths.sum(1), -frequency))[:count]:
        images = np.flatnonzero(place.reshape(-1) == k)
        found.append(Path(paths[k], images, len(images) / len(matrix), float(right[images].mean())))
    return found


def shown_classes(evaluation: PerImage, most: int) -> list[int]:
    """Chooses the classes that a page has room for.

    Args:
        evaluation: What a network did with each image; at least one decision.
        most: How many at most, at least two.

    Returns:
        Classes that occur, in their order; of too many, those that run the fewest and the most units on average.
    """
    present = np.unique(evaluation.labels)
    if len(present) <= most:
        return present.tolist()
    units, labels = units_run(evaluation.decisions), np.asarray(evaluation.labels)
    order = present[np.argsort([units[labels == label].mean() for label in present], kind="stable")]
    return sorted([*order[: (most + 1) // 2].tolist(), *order[len(order) - most // 2 :].tolist()])


def share_by_class(evaluation: PerImage) -> float:
    """How much of the spread of units run lies between the classes instead of within them.

    Args:
        evaluation: What a network did with each image; at least one decision.

    Returns:
        The variance of the class means over the variance of all images, from 0 (an image's class has no influence on
        how much it runs) to 1 (the class decides it); 0 where all images run equally many.
    """
    units, labels = units_run(evaluation.decisions).astype(float), np.asarray(evaluation.labels)
    if np.ptp(units) == 0:
        return 0.0
    _, place, images = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=units) / images
    return float(means[place].var() / units.var())


NEARLY = 0.05  # activation rates nearer to 0 or 1 count as polarised (section 4.5.3)


class Polarisation(NamedTuple):
    """How many decisions are frozen.

    Attributes:
        always_off: Decisions that run for no image.
        between: Decisions that run for some images.
        always_on: Decisions that run for all images.
        polarised: Share of the decisions that run for less than 5 % or more than 95 % of the images.
    """

    always_off: int
    between: int
    always_on: int
    polarised: float


def polarisation(rates: Mapping[str, float]) -> Polarisation:
    """Counts the decisions that hardly depend on the image.

    Args:
        rates: Share of images that run each decision {name: rate in [0, 1]}, at least one.

    Returns:
        The counts.

    Raises:
        ValueError: If there are no rates.

    Source:
        Herrmann et al., sections 3.1 and 4.5.3.
    """
    if not rates:
        raise ValueError("Expected activation rates {decision: rate}, got none; a static network cannot polarise.")
    values = np.array([float(rate) for rate in rates.values()])
    off, on = int((values == 0).sum()), int((values == 1).sum())
    polarised = float(((values < NEARLY) | (values > 1 - NEARLY)).mean())
    return Polarisation(off, len(values) - off - on, on, polarised)
