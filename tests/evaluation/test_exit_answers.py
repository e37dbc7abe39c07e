"""What exits answer and cost, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import evaluate, exit_answers, exit_macs
from keras_dynamic.layers import DynamicModel
from tests.evaluation.exits import by_hand, with_gates

X = np.array([[[[1.0, 2.0]]], [[[4.0, 0.0]]], [[[0.0, 1.0]]]], np.float32)
FIRST = X[:, 0, 0] @ [[1.5, 0], [0, 1]]
SECOND = FIRST @ [[1.0, 1], [0, 1]]


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("decider", [None, Confidence])
def test_every_exit_is_read_whoever_stops(decider):
    model = by_hand(decider and decider())
    if decider:
        model.decider.set_thresholds([0.0])  # all stop at once
    found = exit_answers(model, X, batch_size=2)
    np.testing.assert_array_equal(found.predictions, np.stack([FIRST.argmax(1), SECOND.argmax(1)], axis=1))
    wanted = np.stack([softmax(each).max(axis=1) for each in (FIRST, SECOND)], axis=1)
    np.testing.assert_allclose(found.confidences, wanted, rtol=1e-6)
    np.testing.assert_array_equal(found.macs, [[4, 8]] * 3)
    if decider:
        np.testing.assert_array_equal(model.decider.thresholds, [0.0])  # as they were


def test_other_measures():
    found = exit_answers(by_hand(), X, "margin").confidences
    np.testing.assert_allclose(found[:, 0], np.abs(FIRST[:, 0] - FIRST[:, 1]), rtol=1e-6)


@pytest.mark.parametrize("decider", [None, Confidence])
def test_macs_up_to_each_exit(decider):
    assert exit_macs(by_hand(decider and decider())) == [4, 8]


def test_networks_without_exits_or_with_other_decisions(toy_chain):
    plain = DynamicModel(toy_chain(), name="plain")
    plain.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="model 'plain' has no exits; give Chain some"):
        exit_macs(plain)
    gated = by_hand(PerUnitGates())
    with pytest.raises(ValueError, match="got none; give images"):
        exit_answers(by_hand(), X[:0])
    with pytest.raises(ValueError, match="decides 'first' too, so that its exits have no costs of their own"):
        exit_answers(gated, X)


def test_exits_on_the_way_are_paid_for(toy_chain):
    stem, unit, classifier = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3
    assert exit_macs(with_gates(toy_chain, None)) == [stem + k * (unit + classifier) for k in (1, 2, 3)]


def test_units_run_as_gates_decide(toy_chain, toy_images, spread_gates):
    gates, certain = PerUnitGates(), Confidence()
    model, images = with_gates(toy_chain, CombinedDecider([gates, certain])), toy_images(40)
    spread_gates(SimpleNamespace(decider=gates, outcome=model.outcome), images)
    found = exit_answers(model, images, batch_size=15)
    names = ["exit1", "exit2"]
    for k, thresholds in enumerate(([0, 0], [np.inf, 0], [np.inf, np.inf])):  # all stop at exit k
        certain.set_thresholds(thresholds)
        stopped = evaluate(model, images, np.zeros(40, int))
        np.testing.assert_array_equal(found.macs[:, k], stopped.macs)
        np.testing.assert_array_equal(found.predictions[:, k], stopped.predictions)
        assert [int(stopped.decisions[name].sum()) for name in names] == [40 * (k > 0), 40 * (k > 1)]
    assert found.decisions.keys() == stopped.decisions.keys()
    for name, taken in stopped.decisions.items():  # of images that stop nowhere
        np.testing.assert_array_equal(found.decisions[name], taken)
    assert len(np.unique(found.macs[:, 2])) > 2
