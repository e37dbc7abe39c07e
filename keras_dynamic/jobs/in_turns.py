"""Times of several functions, each measured in turn with the others, so that what else the machine does hits all."""

import time

import numpy as np

WARM_UP = 2
"""Rounds that are not counted: they compile."""


def in_turns(functions, rounds) -> dict[str, np.ndarray]:
    """Times each function once per round, one after the other.

    Args:
        functions: {name: function ()}, each of which returns when its work is done.
        rounds: rounds that count; WARM_UP others come first.

    Returns:
        {name: seconds, float array [rounds]}.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + WARM_UP):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - before)
    return {name: np.array(values[WARM_UP:]) for name, values in times.items()}
