"""Thresholds on free gates whose probabilities are known: what runs, costs and is answered is counted by hand."""

import numpy as np
import pytest

from keras_dynamic.deciders import FirstK, PerUnitGates
from keras_dynamic.evaluation.budgets import tau_sweep
from keras_dynamic.layers import DynamicModel

UNIT, FIXED = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12


@pytest.fixture
def model(toy_chain):
    """Two units that run with probabilities 0.8 and 0.3."""
    gated = DynamicModel(toy_chain(units=2), PerUnitGates(data_dependent=False))
    gated.build((None, 8, 8, 3))
    for gate, probability in zip(gated.decider.gates.values(), (0.8, 0.3), strict=True):
        gate.logits.assign([0.0, np.log(probability / (1 - probability))])
    return gated


def answers(model, images, first, second):
    fixed = {"unit1": np.full(len(images), float(first)), "unit2": np.full(len(images), float(second))}
    return np.asarray(model.outcome(images, fixed).logits).argmax(-1)


def test_each_threshold_runs_the_units_above_it(model, toy_images):
    images = toy_images(12)
    y = answers(model, images, True, False)
    found = tau_sweep(model, images, y, taus=(0.1, 0.5, 0.9))
    assert [entry["tau"] for entry in found] == [0.1, 0.5, 0.9]
    assert [entry["macs_mean"] for entry in found] == [FIXED + 2 * UNIT, FIXED + UNIT, FIXED]
    expected = [(answers(model, images, a, b) == y).mean() for a, b in ((1, 1), (1, 0), (0, 0))]
    assert expected[1] == 1.0
    assert [entry["accuracy"] for entry in found] == pytest.approx(expected)
    assert set(found[0]) == {"tau", "accuracy", "macs_mean"}  # of three classes no five guesses


def test_the_threshold_is_what_it_was(model, toy_images):
    model.decider.set_tau(0.35)
    tau_sweep(model, toy_images(4), np.zeros(4, int), taus=(0.9,))
    assert float(model.decider.tau) == pytest.approx(0.35)
    with pytest.raises(ValueError, match=r"tau must be a number between 0 and 1, got 1\.5"):
        tau_sweep(model, toy_images(4), np.zeros(4, int), taus=(0.2, 1.5))
    assert float(model.decider.tau) == pytest.approx(0.35)


def test_a_decider_without_a_threshold_is_an_error(toy_chain, toy_images):
    with pytest.raises(ValueError, match="tau is swept on a decider that has one, which FirstK lacks; give a model"):
        tau_sweep(DynamicModel(toy_chain(), FirstK(1)), toy_images(4), np.zeros(4, int))
