"""What exits answer and cost, by hand."""

import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import Confidence, PerUnitGates
from keras_dynamic.layers import DynamicModel, Exit
from keras_dynamic.training import exit_answers, exit_macs
from tests.training.exits import by_hand

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
    with pytest.raises(ValueError, match="decides 'first' too, so that its exits have no costs of their own"):
        exit_answers(gated, X)


def test_exits_on_the_way_are_paid_for(toy_chain):
    def exit_(number):
        head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
        return Exit(head, f"unit{number}", name=f"exit{number}")

    model = DynamicModel(toy_chain(units=3, exits=[exit_(1), exit_(2)]))
    model.build((None, 8, 8, 3))
    stem, unit, classifier = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3
    assert exit_macs(model) == [stem + k * (unit + classifier) for k in (1, 2, 3)]
