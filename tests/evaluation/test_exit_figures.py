"""Figures of exits, against NumPy on the logits of both."""

import numpy as np
import pytest

from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation import budget_figures, evaluate, exit_figures
from keras_dynamic.metrics import calibration, rank_correlation
from tests.evaluation.exits import by_hand

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 1, 1, 2)).astype(np.float32), rng.integers(0, 2, 60)
HELD_OUT = (rng.normal(size=(40, 1, 1, 2)).astype(np.float32), None)
FIRST = X[:, 0, 0] @ [[1.5, 0], [0, 1]]
SECOND = FIRST @ [[1.0, 1], [0, 1]]


def confidences(logits):
    return 1 / (1 + np.exp(-np.abs(logits[:, 0] - logits[:, 1])))


@pytest.fixture(scope="module")
def figures():
    return exit_figures(by_hand(), HELD_OUT, (X, Y), powers=(0.5, 2.0))


def test_each_exit_has_accuracy_cost_and_calibration(figures):
    assert [(row["exit"], row["macs"]) for row in figures["exits"]] == [("early", 4), ("head", 8)]
    for row, logits in zip(figures["exits"], (FIRST, SECOND), strict=True):
        right = logits.argmax(1) == Y
        wanted = calibration(confidences(logits), right)
        assert row["accuracy"] == pytest.approx(right.mean())
        assert row["calibration_error"] == pytest.approx(wanted.error, abs=1e-6)
        assert row["calibration"][0] == pytest.approx([each[0] for each in wanted[1:]], abs=1e-6)
        assert len(row["calibration"]) == len(wanted.shares)
    assert figures["accuracy_exits_mean"] == pytest.approx(np.mean([row["accuracy"] for row in figures["exits"]]))


def test_confidences_of_neighbouring_exits_are_ranked(figures):
    (pair,) = figures["exit_ranks"]
    wanted = rank_correlation(confidences(FIRST), confidences(SECOND))
    assert pair == {"exits": ["early", "head"], "rank_correlation": pytest.approx(wanted)}


def test_the_curve_is_what_the_network_does_under_those_thresholds(figures):
    model = by_hand(Confidence())
    early = np.sort(confidences(HELD_OUT[0][:, 0, 0] @ [[1.5, 0], [0, 1]]))[::-1]
    for row, stopping in zip(figures["budgeted"], (26, 13), strict=True):  # two thirds and one third of 40
        model.decider.set_thresholds([early[stopping - 1] - 1e-6])
        found = evaluate(model, X, Y)
        assert (row["accuracy"], row["macs_mean"]) == pytest.approx((found.accuracy, found.macs.mean()))
        assert row["stops"] == pytest.approx([(found.macs == 4).mean(), (found.macs == 8).mean()])
    assert [row["p"] for row in figures["budgeted"]] == [0.5, 2.0]


def test_budgets_are_those_of_budget_figures(figures):
    wanted = budget_figures(by_hand(Confidence()), HELD_OUT, (X, Y))
    assert {key: figures[key] for key in wanted} == wanted
    assert len(wanted["budgets"]) == 5


def test_calibration_is_that_of_probabilities_whatever_stops_images(figures):
    found = exit_figures(by_hand(), HELD_OUT, (X, Y), "margin", powers=(1.0,))
    assert found["exits"] == figures["exits"]


def test_images_stop_by_the_models_own_measure():
    model = by_hand(Confidence("margin"))
    found = exit_figures(model, HELD_OUT, (X, Y), powers=(1.0,), budgets=1)
    assert found == exit_figures(model, HELD_OUT, (X, Y), "margin", powers=(1.0,), budgets=1)
    assert found["budgets"] == budget_figures(model, HELD_OUT, (X, Y), budgets=1)["budgets"]
