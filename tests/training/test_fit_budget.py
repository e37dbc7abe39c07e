"""Thresholds for a budget."""

import numpy as np
import pytest

from keras_dynamic.deciders import Confidence
from keras_dynamic.training import evaluate, fit_budget
from tests.training.exits import by_hand

X = np.random.default_rng(0).normal(size=(40, 1, 1, 2)).astype(np.float32)


@pytest.mark.parametrize(("budget", "stopping"), [(4.0, 40), (5.0, 30), (7.95, 1), (8.0, 0), (9.0, 0)])
def test_as_many_go_on_as_the_budget_pays_for(budget, stopping):
    model = by_hand(Confidence())
    thresholds = fit_budget(model, X, budget)
    macs = evaluate(model, X, np.zeros(40, int)).macs
    assert (macs == 4).sum() == stopping
    np.testing.assert_array_equal(model.decider.thresholds, thresholds)


def test_the_measure_is_the_deciders():
    model = by_hand(Confidence("margin"))
    (threshold,) = fit_budget(model, X, 6.0)
    logits = X[:, 0, 0] @ [[1.5, 0], [0, 1]]
    assert threshold == pytest.approx(np.sort(np.abs(logits[:, 0] - logits[:, 1]))[20], rel=1e-5)


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"a Confidence decider, which Always is not; give DynamicModel\(model\.chain"):
        fit_budget(by_hand(), X, 6.0)
    with pytest.raises(ValueError, match="at least the first exit's 4 MACs, got 3; raise it"):
        fit_budget(by_hand(Confidence()), X, 3.0)
