"""The table of budgets: rows kept on the images, by hand where an int8 confidence is the largest there is."""

import numpy as np
import pytest

from keras_dynamic.lite.comparisons import ROWS, budget_table, macs_of_stops
from keras_dynamic.lite.interpreter import Port

MACS = [100, 300, 1000]
FLOAT = Port("thresholds", (2,), np.dtype(np.float32))
INT8 = Port("thresholds", (2,), np.dtype(np.int8), 1 / 256, -128)


def spent(seen, thresholds, most):
    """Mean MACs in plain Python, where the integer or number `most` is under no threshold."""
    total = 0
    for row in seen:
        stage = 0
        while stage < 2 and row[stage] < thresholds[stage] and row[stage] != most:
            stage += 1
        total += MACS[stage]
    return total / len(seen)


def test_rows_go_from_the_first_stop_to_the_last_and_keep_their_budgets():
    seen = np.random.default_rng(0).uniform(0.1, 1, (200, 2)).astype(np.float32)
    table = budget_table(seen, MACS, FLOAT)
    assert len(table) == ROWS
    assert (table[0]["macs"], table[0]["macs_mean"], table[-1]["macs"], table[-1]["macs_mean"]) == (
        100,
        100,
        1000,
        1000,
    )
    assert table[-1]["thresholds"] == [None, None]
    for row in table:
        thresholds = np.array([np.inf if each is None else each for each in row["thresholds"]], np.float32)
        assert row["macs_mean"] == pytest.approx(spent(seen, thresholds, None))
        assert row["macs"] - 20 <= row["macs_mean"] <= row["macs"]


def test_no_int8_image_stops_at_infinity():
    seen = np.random.default_rng(0).integers(-100, 127, (200, 2)).astype(np.int8)
    seen[:50, 0] = 127
    table = budget_table(seen, MACS, INT8)
    assert table[-1]["macs_mean"] == spent(seen, [128, 128], None) == 1000
    for row in table:
        steps = np.array([128 if each is None else 256 * each - 128 for each in row["thresholds"]])
        np.testing.assert_array_equal(steps, steps.round())
        assert row["macs_mean"] == pytest.approx(spent(np.minimum(seen, 126), steps, None))
        assert row["macs_mean"] <= row["macs"]


def test_who_stops_pays_for_what_came_before():
    cost = [
        {"macs": 5, "when": []},
        {"macs": 7, "when": ["a"]},
        {"macs": 11, "when": ["a", "b"]},
        {"macs": 1, "when": ["b"]},
    ]
    assert macs_of_stops(cost, ["a", "b"]) == [5, 12, 24]
