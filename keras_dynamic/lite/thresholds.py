"""Thresholds for a model that takes them as an input: the file's own, the caller's, or those for a budget."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.cost import budget_of, check_table
from keras_dynamic.lite.metadata import macs_under, metadata_needed, spent_on_parts
from keras_dynamic.ops import within_budget

THRESHOLDS = "thresholds"  # the input's name, and that of the metadata's entry

BOUNDED_BELOW = ("max_probability", "entropy", "margin", "label_probability")  # measures that are never under 0
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


def thresholds_for(model: bytes, macs=None, ms=None, mj=None, deadline=None, table=None) -> np.ndarray:
    """Returns the thresholds at which a model spends most, but on its calibration images no more than a budget.

        interpreter.run(image, thresholds=kd.lite.thresholds_for(model, macs=5e6))
        interpreter.run(image, thresholds=kd.lite.thresholds_for(model, ms=0.4, table=table))

    Args:
        model: a .tflite exported with thresholds='input' and calibration images.
        macs: budget, mean MACs per image.
        ms: budget, mean milliseconds per image, with a table of such.
        mj: budget, mean millijoules per image, with a table of such.
        deadline: what no image may cost, in the table's unit, or in MACs without one.
        table: {part: cost}, such as what part_times or read_part_times returns; see evaluation.fit_budget.

    Returns:
        float32 array [k], from the row of the metadata's table `budgets` of largest mean cost within the budget. Where
        a later stop is over the deadline, the threshold is one at which all images stop before it.

    Raises:
        ValueError: if the model has no such table, the budget or deadline lies under its least cost, or a part is
            missing in the table.
    """
    metadata = metadata_needed(model)
    rows = metadata.get("budgets")
    if not rows:
        raise ValueError(
            "the model has no table of thresholds for budgets; export a cascade, or a model that decides its exits "
            "alone, with thresholds='input' and calibration=held-out images."
        )
    budget = budget_of(macs, ms, mj, deadline, table)
    budget.check_given()
    if budget.table is None and budget.deadline is None:
        return _within(rows, [row["macs_mean"] for row in rows], budget)
    if "stops" not in rows[0]:
        raise ValueError(
            "the model's table does not say where images stop, it is of an older version; export it again."
        )
    if "stages_of" in metadata:
        raise ValueError("a stage does not say what the others cost; give the model that the stages were cut from.")
    costs = _costs_of_stops(metadata, budget)
    stages = budget.stages_within(costs)
    spent = [float(np.dot(row["stops"], np.minimum(costs, costs[stages - 1]))) for row in rows]
    found = _within(rows, spent, budget)
    if stages < len(costs) and not set(metadata["measures"]) <= set(BOUNDED_BELOW):
        raise ValueError(
            f"a deadline needs confidences that are never under 0, got {metadata['measures']}; give a mean budget."
        )
    found[stages - 1 :] = 0.0
    return found


def _within(rows, spent, budget) -> np.ndarray:
    """Returns the thresholds of the row that spends most within a budget's mean; raises if there is none."""
    budget.check_least(min(spent))
    within = [k for k, each in enumerate(spent) if budget.mean is None or within_budget(each, budget.mean)]
    return _read(rows[max(within, key=spent.__getitem__)]["thresholds"])


def _costs_of_stops(metadata, budget) -> np.ndarray:
    """Returns what an image costs that stops at each decision, or at none, [k + 1], in the budget's unit."""
    names, count = metadata["decisions"], len(metadata["decisions"]) + 1
    going = {name: (np.arange(count) > k).astype(int) for k, name in enumerate(names)}
    if not isinstance(budget.table, Mapping):
        return budget.of_stages(np.zeros(count) + macs_under(metadata["cost"], going))
    needed = [name for name in metadata["names"] if name != "head" or name in metadata["parts"]]
    check_table(budget.table, metadata["names"], needed)
    return spent_on_parts(budget.table, going, metadata["parts"], count)


def _read(values) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in values], np.float32)
