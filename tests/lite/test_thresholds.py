"""Thresholds noted, given and looked up, on metadata written by hand."""

import numpy as np
import pytest

from keras_dynamic import lite
from keras_dynamic.lite.thresholds import given_or_noted, written

NOTES = {"threshold_names": ["a", "b"], "measures": ["max_probability", "margin"], "thresholds": [0.5, None]}
ROWS = [
    {"macs": 10, "macs_mean": 9.5, "thresholds": [0.25, 0.5]},
    {"macs": 20, "macs_mean": 20.0, "thresholds": [0.75, None]},
    {"macs": 30, "macs_mean": 19.0, "thresholds": [0.5, 0.5]},
]


def test_infinity_is_null_in_json():
    assert written(np.array([0.5, np.inf], np.float32)) == [0.5, None]


def test_those_noted_are_taken_if_none_are_given():
    found = given_or_noted(None, NOTES)
    assert (found.tolist(), found.dtype) == ([0.5, np.inf], np.float32)


def test_each_is_held_to_the_range_of_its_measure():
    assert given_or_noted([np.inf, -7], NOTES).tolist() == [np.inf, -7.0]
    for bad in ([1.01, 0], [-0.01, 0], [0.5, np.nan], [0.5], [[0.5, 0.5]], ["much", 0]):
        with pytest.raises(ValueError, match=r"must be 2 numbers, one for each of \['a', 'b'\], got"):
            given_or_noted(bad, NOTES)


@pytest.mark.parametrize("metadata", [None, {"decisions": []}])
def test_a_model_without_the_input_takes_none(metadata):
    with pytest.raises(ValueError, match="takes no thresholds as an input"):
        given_or_noted([0.5], metadata)


@pytest.fixture(scope="module")
def noted(example):
    """noted(metadata) -> a .tflite's bytes with it."""
    return lambda metadata: lite.write_metadata(example("units", False).outlined, metadata)


@pytest.mark.parametrize(
    ("macs", "wanted"), [(9.5, [0.25, 0.5]), (18, [0.25, 0.5]), (19.9, [0.5, 0.5]), (1e9, [0.75, np.inf])]
)
def test_a_budget_takes_the_row_that_spends_most_within_it(macs, wanted, noted):
    found = lite.thresholds_for(noted({"budgets": ROWS}), macs)
    assert (found.tolist(), found.dtype) == (wanted, np.float32)


def test_budgets_that_cannot_be_are_errors(noted):
    with pytest.raises(ValueError, match="must be at least 10 MACs, got 9; raise it"):
        lite.thresholds_for(noted({"budgets": ROWS}), 9)
    with pytest.raises(ValueError, match="no table of thresholds for budgets; export"):
        lite.thresholds_for(noted({"decisions": []}), 9)
