"""The yardstick of batched serving, against sums by hand."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import Confidence, Pattern
from keras_dynamic.evaluation.part_times import Part, parts_of, shares_run, time_of_what_runs
from keras_dynamic.layers import DynamicModel
from tests.evaluation.exits import by_hand

IMAGES = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).reshape(2, 1, 1, 2)


def test_time_of_what_runs():
    """Parts of 1, 3 and 4 make 8; the whole takes 16, so each counts twice: 2 + 6 / 2 + 8 / 4."""
    assert time_of_what_runs(16.0, {"stem": 1, "unit": 3, "head": 4}, {"stem": 1, "unit": 0.5, "head": 0.25}) == 7.0


def test_time_of_a_network_that_skips_nothing_is_the_static_one():
    parts = {"stem": 0.1, "unit": 0.7, "head": 0.4}
    assert time_of_what_runs(1.3, parts, dict.fromkeys(parts, 1.0)) == pytest.approx(1.3)


def test_shares_run():
    parts = {"stem": Part(None, None), "unit1": Part(None, "unit1"), "head": Part(None, "exit1")}
    decisions = {"unit1": np.array([1, 0, 0, 0.0]), "exit1": np.array([1, 1, 0, 1.0])}
    assert shares_run(parts, decisions) == {"stem": 1.0, "unit1": 0.25, "head": 0.75}


def test_parts_of_a_network_with_exits():
    parts = parts_of(by_hand(Confidence()), IMAGES)
    guards = {"stem": None, "first": None, "early": None, "second": "early", "head": "early"}
    assert {name: part.guard for name, part in parts.items()} == guards
    given = {name: keras.ops.convert_to_numpy(part.call()).reshape(2, 2) for name, part in parts.items()}
    first = np.array([[1.5, 2], [4.5, 4]])
    second = np.array([[1.5, 3.5], [4.5, 8.5]])  # x + B x, and B hands the first channel to the second
    wanted = {"stem": IMAGES.reshape(2, 2), "first": first, "early": first, "second": second, "head": second}
    for name, values in wanted.items():
        np.testing.assert_allclose(given[name], values)


def test_a_unit_behind_an_exit_has_its_own_decision_where_it_is_decided():
    model = DynamicModel(by_hand().chain, Pattern({"second": True}))
    model.build((None, 1, 1, 2))
    assert {name: part.guard for name, part in parts_of(model, IMAGES).items()} == {
        "stem": None,
        "first": None,
        "early": None,
        "second": "second",
        "head": None,
    }
