"""Stochastic inference and ensembles, beside thresholds and always-on."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import FirstK, PerUnitGates
from keras_dynamic.evaluation import ensemble, stochastic
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import ActivationGating

UNIT, FIXED = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12


@pytest.fixture
def model(toy_chain):
    gated = ActivationGating(toy_chain(units=2), PerUnitGates(data_dependent=False, open_probability=0.7))
    gated.build((None, 8, 8, 3))
    return gated


def test_stochastic_runs_each_unit_with_its_probability(model, toy_images):
    images = np.repeat(toy_images(2), 50, axis=0)
    logits, cost = stochastic(model, images, runs=3, batch_size=64)
    assert logits.shape == (3, 100, 3)
    assert cost.shape == (3, 100)
    units = (cost * (FIXED + 2 * UNIT) - FIXED) / UNIT
    np.testing.assert_allclose(units, units.round(), atol=1e-3)
    assert units.mean() == pytest.approx(1.4, abs=4 * np.sqrt(2 * 0.21 / 300))
    assert (cost[0] != cost[1]).any()
    # Two units give four paths; every answer is that of one of them.
    paths = [
        model.outcome(images, {"unit1": np.full(100, a), "unit2": np.full(100, b)}).logits
        for a in (0, 1)
        for b in (0, 1)
    ]
    distances = np.abs(np.stack(paths)[None] - logits[:, None]).max(axis=-1).min(axis=1)
    assert distances.max() < 1e-4


def test_the_seed_reproduces(model, toy_images):
    first, again, other = (stochastic(model, toy_images(20), runs=2, seed=seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_ensemble_is_the_mean_of_its_runs(model, toy_images):
    logits, cost = stochastic(model, toy_images(10), runs=4, seed=3)
    probabilities, spent = ensemble(model, toy_images(10), runs=4, seed=3)
    softmax = keras.ops.convert_to_numpy(keras.ops.softmax(logits, axis=-1))
    np.testing.assert_allclose(probabilities, softmax.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(spent, cost.sum(axis=0), rtol=1e-6)


def test_always_on_is_tau_0(model, toy_images):
    model.decider.set_tau(0.0)
    outcome = model.outcome(toy_images())
    np.testing.assert_allclose(outcome.cost, 1.0, rtol=1e-6)
    np.testing.assert_allclose(outcome.logits, DynamicModel(model.chain)(toy_images()), atol=1e-5)


def test_the_model_itself_is_left_as_it_was(model, toy_images):
    before = [keras.ops.convert_to_numpy(model(toy_images())), float(keras.ops.convert_to_numpy(model.decider.tau))]
    stochastic(model, toy_images(), runs=1)
    np.testing.assert_array_equal(model(toy_images()), before[0])
    assert float(keras.ops.convert_to_numpy(model.decider.tau)) == before[1]


def test_a_model_without_gates_is_an_error(toy_chain, toy_images):
    with pytest.raises(ValueError, match="samples a PerUnitGates decider, got FirstK"):
        stochastic(DynamicModel(toy_chain(), FirstK(1)), toy_images())


@pytest.mark.parametrize("run", [stochastic, ensemble])
def test_at_least_one_run(run, model, toy_images):
    with pytest.raises(ValueError, match="runs must be at least 1, got 0"):
        run(model, toy_images(), runs=0)
