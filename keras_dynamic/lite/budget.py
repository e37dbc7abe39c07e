"""The input by which a file gets an image's budget."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

BUDGET = "budget"  # the input's name, and that of the metadata's entry {"unit", "least", "macs"}
UNLIMITED = np.iinfo(np.int32).max


def checked(budget) -> float:
    """Returns a budget as a float, infinity included, or raises a ValueError if it is no number of at least 0."""
    try:
        macs = float(np.asarray(budget).item())
    except (TypeError, ValueError):
        macs = math.nan
    if not macs >= 0:
        raise ValueError(f"budget must be a number of MACs of at least 0, got {budget!r}.")
    return macs


def in_units(budget, metadata: Mapping[str, Any] | None) -> np.ndarray:
    """Returns a budget of MACs as the input takes it, int32 [1], in units and rounded down; None is unlimited.

    Raises:
        ValueError: if the budget is no number of at least 0, or the file takes none.
    """
    if budget is None:
        return np.array([UNLIMITED], np.int32)
    noted = (metadata or {}).get(BUDGET)
    if noted is None or noted["macs"] is not None:
        raise ValueError("the model takes no budget as an input; export it with budget='input'.")
    macs = checked(budget)
    return np.array([min(UNLIMITED, macs // noted["unit"] if math.isfinite(macs) else UNLIMITED)]).astype(np.int32)
