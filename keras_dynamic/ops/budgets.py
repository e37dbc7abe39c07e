"""Budgets to judge, and what images do under them (NumPy)."""

import numpy as np

from keras_dynamic.messages import is_count

BUDGETS = 5  # judged, if nothing is said


def budgets_between(least, most, count) -> list[float]:
    """Returns budgets evenly spaced between two, without these: each can be missed both ways.

    Args:
        least: what the first exit costs.
        most: what the last one does.
        count: how many.

    Raises:
        ValueError: if count is no positive whole number.
    """
    if not is_count(count):
        raise ValueError(f"budgets must be how many there are, a positive whole number, got {count!r}.")
    return np.linspace(least, most, count + 2)[1:-1].tolist()


def judged_stops(at, right, spent, exits) -> dict:
    """Returns 'accuracy', 'macs_mean' and 'stops', the share of images that stop at each exit.

    Args:
        at: int array [n], the exit at which each image stops.
        right: bool array [n], whether the answer there is right.
        spent: MACs of each image, [n].
        exits: how many there are.
    """
    stops = (np.bincount(at, minlength=exits) / len(at)).tolist()
    return {"accuracy": float(np.mean(right)), "macs_mean": float(np.mean(spent)), "stops": stops}


def kept_budgets(rows) -> dict:
    """Returns how well budgets are kept.

    Args:
        rows: dicts with 'budget' and 'macs_mean'.

    Returns:
        'budgets', the rows, each with 'kept', the MACs spent over the budget; 'budget_error', the largest difference of
        'kept' from 1.
    """
    rows = [{**row, "kept": row["macs_mean"] / row["budget"]} for row in rows]
    return {"budgets": rows, "budget_error": max(abs(row["kept"] - 1) for row in rows)}
