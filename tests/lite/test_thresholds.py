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
TABLE = {
    "budgets": ROWS,
    "decisions": ["a", "b"],
    "measures": ["max_probability", "margin"],
    "cost": [{"macs": 5, "when": []}, {"macs": 10, "when": ["a"]}, {"macs": 15, "when": ["a", "b"]}],
    "names": ["stem", "a", "b", "head"],
    "parts": {"a": [{"macs": 10, "when": ["a"]}], "b": [{"macs": 15, "when": ["a", "b"]}]},
}
STOPS = [[0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]]
PRICED = TABLE | {"budgets": [{**row, "stops": stops} for row, stops in zip(ROWS, STOPS, strict=True)]}
MS = {"stem": 1.0, "a": 2.0, "b": 4.0, "decider": 0.5}  # 1.5 to stop first, 3.5, 7.5


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
    found = lite.thresholds_for(noted(TABLE), macs)
    assert (found.tolist(), found.dtype) == (wanted, np.float32)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"ms": 1.7, "table": MS}, [0.25, 0.5]),  # 0.9 * 1.5 + 0.1 * 3.5 = 1.7
        ({"ms": 3.3, "table": MS}, [0.5, 0.5]),  # 0.5 * 1.5 + 0.3 * 3.5 + 0.2 * 7.5 = 3.3
        ({"mj": 5.5, "table": MS}, [0.75, np.inf]),  # 0.2 * 1.5 + 0.2 * 3.5 + 0.6 * 7.5 = 5.5
        ({"ms": 5.4, "table": MS}, [0.5, 0.5]),
        ({"ms": 5.4, "table": [1.5, 3.5, 7.5]}, [0.5, 0.5]),
        ({"deadline": 7.5, "table": MS}, [0.75, np.inf]),
        ({"deadline": 7.4, "table": MS}, [0.75, 0.0]),  # nobody goes on to b
        ({"ms": 2.5, "deadline": 7.4, "table": MS}, [0.5, 0.0]),  # 0.5 * 1.5 + 0.5 * 3.5 = 2.5
        ({"deadline": 14}, [0.0, 0.0]),
        ({"deadline": 15}, [0.75, 0.0]),
        ({"macs": 19, "deadline": 30}, [0.5, 0.5]),
    ],
)
def test_budgets_in_other_units_and_deadlines(asked, wanted, noted):
    assert lite.thresholds_for(noted(PRICED), **asked).tolist() == wanted


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"ms": 1.6, "table": MS}, r"at least 1\.7 ms per image"),
        ({"ms": 1.6}, "ms need one"),
        ({"deadline": 1.4, "table": MS}, r"the deadline must be at least 1\.5"),
        ({"ms": 3, "table": {"stem": 1.0, "a": 2.0}}, r"lacks the parts \['b'\]"),
        ({"ms": 3, "table": [1, 2]}, "must be 3 positive numbers"),
        ({"ms": 3, "table": {"a": 2.0, "b": 4.0}}, r"lacks the parts \['stem'\]"),
        ({"ms": 3, "table": MS | {"c": 1.0}}, "has a part 'c', which the model lacks"),
        ({"ms": 3, "table": MS | {"stem": -1.0}}, "the cost of 'stem' must be a non-negative number"),
        ({"ms": 3, "table": MS | {"stem": "1"}}, "the cost of 'stem' must be a non-negative number"),
        ({}, "a budget is macs, ms or mj, mean per image, or a deadline, got none"),
        ({"table": MS}, "a budget is macs, ms or mj, mean per image, or a deadline, got none"),
    ],
)
def test_tables_that_cannot_be_are_errors(asked, message, noted):
    with pytest.raises(ValueError, match=message):
        lite.thresholds_for(noted(PRICED), **asked)


def test_what_an_older_file_or_an_own_confidence_cannot_say(noted):
    with pytest.raises(ValueError, match="of an older version; export it again"):
        lite.thresholds_for(noted(TABLE), ms=3, table=MS)
    with pytest.raises(ValueError, match="confidences that are never under 0"):
        lite.thresholds_for(noted(PRICED | {"measures": ["custom", "margin"]}), deadline=7.4, table=MS)


def test_budgets_that_cannot_be_are_errors(noted):
    with pytest.raises(ValueError, match=r"must be at least 9\.5 MACs per image, .* got 9 MACs; raise it"):
        lite.thresholds_for(noted(TABLE), 9)
    with pytest.raises(ValueError, match="no table of thresholds for budgets; export"):
        lite.thresholds_for(noted({"decisions": []}), 9)
