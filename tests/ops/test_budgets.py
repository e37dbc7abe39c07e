"""Budgets, by hand."""

import pytest

from keras_dynamic.ops import budgets_between, judged_stops, kept_budgets


def test_budgets_lie_between_the_ends():
    assert budgets_between(4, 8, 3) == [5.0, 6.0, 7.0]
    for count in (0, 2.0, True):
        with pytest.raises(ValueError, match="budgets must be how many there are, a positive whole number, got"):
            budgets_between(4, 8, count)


def test_what_images_do():
    found = judged_stops([0, 2, 0, 0], [True, True, False, True], [10, 30, 10, 10], 3)
    assert found == {"accuracy": 0.75, "macs_mean": 15.0, "stops": [0.75, 0.0, 0.25]}


def test_how_budgets_are_kept():
    found = kept_budgets([{"budget": 10.0, "macs_mean": 9.0}, {"budget": 20.0, "macs_mean": 21.0}])
    assert [row["kept"] for row in found["budgets"]] == [0.9, 1.05]
    assert found["budget_error"] == pytest.approx(0.1)
