"""Budgets by hand: as many of 40 held-out images go on as each pays for; the test images are others."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import ExitAnswers, budget_figures, evaluate
from keras_dynamic.evaluation.budgets import budget_rows
from tests.evaluation.exits import by_hand, with_gates

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 1, 1, 2)).astype(np.float32), rng.integers(0, 2, 60)
HELD_OUT = (rng.normal(size=(40, 1, 1, 2)).astype(np.float32), None)


def test_thresholds_are_of_held_out_images_and_judged_on_others():
    model = by_hand(Confidence("margin"))
    model.decider.set_thresholds([0.125])
    found = budget_figures(model, HELD_OUT, (X, Y), budgets=3)
    np.testing.assert_array_equal(model.decider.thresholds, [0.125])  # as it was
    logits = HELD_OUT[0][:, 0, 0] @ [[1.5, 0], [0, 1]]
    margins = np.sort(np.abs(logits[:, 0] - logits[:, 1]))
    assert [row["budget"] for row in found["budgets"]] == [5, 6, 7]
    for row, going in zip(found["budgets"], (10, 20, 30), strict=True):
        assert row["thresholds"] == pytest.approx([margins[going]], rel=1e-5)
        model.decider.set_thresholds(row["thresholds"])
        result = evaluate(model, X, Y)
        assert (row["accuracy"], row["macs_mean"]) == (result.accuracy, result.macs.mean())
        assert row["stops"] == [(result.macs == 4).mean(), (result.macs == 8).mean()]
        assert row["kept"] == result.macs.mean() / row["budget"]
    assert found["budget_error"] == max(abs(row["kept"] - 1) for row in found["budgets"]) > 0


def test_an_exit_at_which_no_image_can_stop_has_no_threshold():
    macs, confidences = np.array([[10, 20, 30]] * 2), np.array([[0.5, 0.5, 0.5], [0.25, 0.75, 0.5]])
    answers = ExitAnswers(np.zeros((2, 3), int), confidences, macs, {})
    found = budget_rows(answers, answers, np.array([[False, False, True], [True, False, True]]), budgets=1)
    # One of two images stops at the first exit; the second exit's quota is less than one image.
    row = {"budget": 20.0, "macs_mean": 20.0, "kept": 1.0, "accuracy": 0.5, "thresholds": [0.5, None]}
    assert found == {"budgets": [{**row, "stops": [0.5, 0.0, 0.5]}], "budget_error": 0.0}


def test_with_gates_the_ends_are_means_over_images(toy_chain, toy_images, spread_gates):
    gates, images = PerUnitGates(), toy_images(60)
    model = with_gates(toy_chain, CombinedDecider([gates, Confidence()]))
    spread_gates(SimpleNamespace(decider=gates, outcome=model.outcome), images)
    budgets = [row["budget"] for row in budget_figures(model, (images, None), (images, np.zeros(60)))["budgets"]]
    ends = []
    for threshold in (0, np.inf):
        model.decider.deciders[1].set_thresholds([threshold, threshold])
        ends.append(evaluate(model, images, np.zeros(60)).macs.mean())
    assert budgets == pytest.approx(np.linspace(*ends, 7)[1:-1])


def test_what_cannot_be():
    for budgets in (0, 2.0, True):
        with pytest.raises(ValueError, match="budgets must be how many there are, a positive whole number"):
            budget_figures(by_hand(), HELD_OUT, (X, Y), budgets)
    with pytest.raises(ValueError, match="held-out or test images, got none"):
        budget_figures(by_hand(), (X[:0], None), (X, Y))
