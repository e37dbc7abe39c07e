"""Gates that still sample in inference."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import FirstK, PerUnitGates, Stochastic
from keras_dynamic.layers import DynamicModel


def test_it_samples_with_the_gates_probabilities(toy_chain, toy_images):
    gates = PerUnitGates(open_probability=0.7, data_dependent=False)
    model = DynamicModel(toy_chain(), Stochastic(gates, seed=0))
    images = np.repeat(toy_images(1), 600, axis=0)
    outcome = model.outcome(images, training=False)
    for name in ("unit1", "unit2", "unit3"):
        decisions = keras.ops.convert_to_numpy(outcome.decisions[name])
        assert set(np.unique(decisions)) == {0.0, 1.0}
        assert decisions.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 600))
        np.testing.assert_allclose(outcome.probabilities[name], 0.7, rtol=1e-5)
    costs = [keras.ops.convert_to_numpy(cost) for cost in (outcome.cost, model.outcome(images).cost)]
    assert (costs[0] != costs[1]).any()


def test_layers_run_as_in_inference(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates())
    before = model.outcome(toy_images())
    sampled = DynamicModel(model.chain, Stochastic(model.decider))
    outcome = sampled.outcome(toy_images())
    redone = model.outcome(toy_images(), outcome.decisions)
    np.testing.assert_allclose(outcome.logits, redone.logits, atol=1e-5)
    np.testing.assert_array_equal(model.outcome(toy_images()).logits, before.logits)  # no statistics moved


def test_gates_are_shared_and_cost_the_same(toy_chain):
    model = DynamicModel(toy_chain(), PerUnitGates(always=("unit1",)))
    sampled = DynamicModel(model.chain, Stochastic(model.decider))
    for each in (model, sampled):
        each.build((None, 8, 8, 3))
    assert sampled.decider.gates is model.decider
    assert sampled.decision_names == ["unit2", "unit3"]
    assert sampled.cost_tree == model.cost_tree


def test_saving_keeps_seed_and_gates(toy_chain, toy_images, tmp_path):
    model = DynamicModel(toy_chain(), Stochastic(PerUnitGates(open_probability=0.5), seed=5))
    model.build((None, 8, 8, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        keras.tree.map_structure(
            np.testing.assert_array_equal,
            loaded.outcome(toy_images()).decisions,
            model.outcome(toy_images()).decisions,
        )


def test_it_takes_gates():
    with pytest.raises(ValueError, match="Stochastic samples a PerUnitGates decider, got FirstK"):
        Stochastic(FirstK(2))
