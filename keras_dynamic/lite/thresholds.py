"""Thresholds for a model that takes them as an input: the file's own, the caller's, or those for a budget."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.lite.metadata import metadata_needed

THRESHOLDS = "thresholds"  # the input's name, and that of the metadata's entry

_UP_TO_ONE = ("max_probability", "entropy")  # measures of confidence from 0 to 1


def written(values) -> list[float | None]:
    """Returns thresholds as JSON has them: infinity, at which no image stops, is null."""
    return [None if math.isinf(value) else float(value) for value in values]


def as_numbers(values, count: int) -> np.ndarray | None:
    """Returns thresholds as float32 [count], or None if they are not as many numbers."""
    try:
        found = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        return None
    return found if found.shape == (count,) and not np.isnan(found).any() else None


def given_or_noted(values, metadata: Mapping[str, Any] | None) -> np.ndarray:
    """Returns the thresholds to run with, float32 [k]: the caller's values, or if they are None the metadata's.

    Raises:
        ValueError: if the model's thresholds are no input, or values are of another number, no numbers, or out of the
            range of the measure of confidence.
    """
    if metadata is None or THRESHOLDS not in metadata:
        raise ValueError("the model takes no thresholds as an input; export it with thresholds='input'.")
    if values is None:
        return _read(metadata[THRESHOLDS])
    names = metadata["threshold_names"]
    found = as_numbers(values, len(names))
    limited = np.isin(metadata["measures"], _UP_TO_ONE)
    if found is None or not (~limited | ((found >= 0) & (found <= 1)) | (found == np.inf)).all():
        ranged = " from 0 to 1" if limited.all() else ""
        raise ValueError(
            f"thresholds must be {len(names)} numbers{ranged}, one for each of {names}, got {values!r}; infinity lets "
            "no image stop."
        )
    return found


def thresholds_for(model: bytes, macs: float) -> np.ndarray:
    """Returns the thresholds at which a model spends most, but on its calibration images no more than a budget.

        interpreter.run(image, thresholds=kd.lite.thresholds_for(model, macs=5e6))

    Args:
        model: a .tflite exported with thresholds='input' and calibration images.
        macs: budget, mean MACs per image.

    Returns:
        float32 array [k], from the row of the metadata's table `budgets` with the largest macs_mean within the budget.

    Raises:
        ValueError: if the model has no such table, or the budget lies under its least macs_mean.
    """
    rows = metadata_needed(model).get("budgets")
    if not rows:
        raise ValueError(
            "the model has no table of thresholds for budgets; export a cascade, or a model that decides its exits "
            "alone, with thresholds='input' and calibration=held-out images."
        )
    within = [row for row in rows if row["macs_mean"] <= macs]
    if not within:
        least = min(row["macs_mean"] for row in rows)
        raise ValueError(f"the budget must be at least {math.ceil(least):,} MACs, got {macs:,.0f}; raise it.")
    return _read(max(within, key=lambda row: row["macs_mean"])["thresholds"])


def _read(values) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in values], np.float32)
