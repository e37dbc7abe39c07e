"""Statistics on which images run what, for any system with decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_dynamic.metrics import path_matrix, units_run
from keras_dynamic.report.schema import PerImage


class ByUnits(NamedTuple):
    """Images grouped by the number of units that they run.

    Attributes:
        units: The numbers that occur, rising [k].
        images: How many images run that many [k].
        right: How many of them are answered rightly [k].
    """

    units: np.ndarray
    images: np.ndarray
    right: np.ndarray


class Path(NamedTuple):
    """A pattern of decisions and the images that take it.

    Attributes:
        runs: bool [units], in the network's order.
        images: Indices of the images, in the data's order.
        share: Of the images looked at, the fraction that takes it.
        accuracy: Share of its images that are answered rightly.
    """

    runs: np.ndarray
    images: np.ndarray
    share: float
    accuracy: float


def is_right(evaluation: PerImage) -> np.ndarray:
    """Whether each image is answered rightly.

    Args:
        evaluation: What a network did with each image.

    Returns:
        bool [n].
    """
    return np.asarray(evaluation.predictions) == np.asarray(evaluation.labels)


def by_units(evaluation: PerImage) -> ByUnits:
    """Counts images and right answers by the number of units run.

    Args:
        evaluation: What a network did with each image; at least one decision.

    Returns:
        One entry per number that occurs.
    """
    units, place, images = np.unique(units_run(evaluation.decisions), return_inverse=True, return_counts=True)
    return ByUnits(units, images, np.bincount(place, weights=is_right(evaluation)).astype(int))


def dominant_paths(evaluation: PerImage, count: int, label: int | None = None) -> list[Path]:
    """Finds the paths that most images take.

    Args:
        evaluation: What a network did with each image; at least one decision.
        count: How many paths; fewer if there are fewer.
        label: Only images of this class; None for all.

    Returns:
        The most frequent path first; of equally frequent ones, that with fewer units.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 4.
    """
    labels = np.asarray(evaluation.labels)
    chosen = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
    if not len(chosen):
        return []
    matrix = path_matrix(evaluation.decisions)[chosen]
    paths, place, frequency = np.unique(matrix, axis=0, return_inverse=True, return_counts=True)
    right = is_right(evaluation)
    found = []
    for k in np.lexsort((paths.sum(1), -frequency))[:count]:
        images = chosen[place.reshape(-1) == k]
        found.append(Path(paths[k], images, len(images) / len(chosen), float(right[images].mean())))
    return found


def easiest_and_hardest(evaluation: PerImage, label: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Among the rightly answered images of a class, finds those that run the fewest and the most units.

    Of equal units, MACs decide, and of equal MACs, the data's order. No image is at both ends.

    Args:
        evaluation: What a network did with each image; at least one decision.
        label: The class.
        count: How many at each end; fewer where the class has fewer than twice as many right answers.

    Returns:
        Indices of the easiest images, the easiest first, and of the hardest, the hardest first.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 5.
    """
    chosen = np.flatnonzero(is_right(evaluation) & (np.asarray(evaluation.labels) == label))
    units, macs = units_run(evaluation.decisions)[chosen], np.asarray(evaluation.macs)[chosen]
    order = chosen[np.lexsort((macs, units))]
    middle = (len(order) + 1) // 2
    return order[:middle][:count], order[middle:][::-1][:count]


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
        The variance of the class means over the variance of all images, from 0 (the class says nothing about how much
        an image runs) to 1 (it says everything); 0 where all images run equally many.
    """
    units, labels = units_run(evaluation.decisions).astype(float), np.asarray(evaluation.labels)
    if np.ptp(units) == 0:
        return 0.0
    _, place, images = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=units) / images
    return float(means[place].var() / units.var())


def accuracy_interval(right: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within what bounds an accuracy lies, given how few images it was read on.

    Args:
        right: Right answers [k].
        images: Images, at least one each [k].

    Returns:
        Lower and upper bounds of Wilson's interval at 95 % [k], fractions.

    Source:
        Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    right, images = np.asarray(right, float), np.asarray(images, float)
    z = 1.96
    share, extra = right / images, z * z / images
    middle = (share + extra / 2) / (1 + extra)
    half = z * np.sqrt(share * (1 - share) / images + extra / (4 * images)) / (1 + extra)
    return middle - half, middle + half


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
