"""Re-estimated batch-norm statistics against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.callbacks import ReestimateBatchNorm, reestimate_batch_norm
from keras_dynamic.deciders import FirstK, PerUnitGates
from keras_dynamic.layers import Chain, Decider, DynamicModel, Residual

EPSILON = 1e-3


@pytest.fixture
def norms():
    """A chain of nothing but batch norms: one in the stem, one in each of two units."""
    units = [Residual([layers.BatchNormalization(gamma_initializer="ones")], name=f"unit{k}") for k in (1, 2)]
    stem = keras.Sequential([layers.BatchNormalization()])
    return Chain(stem, units, [layers.GlobalAveragePooling2D()])


def batches(count=3, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.normal(rng.normal(size=2), rng.uniform(0.5, 2, 2), (size, 4, 4, 2)).astype(np.float32) for _ in range(count)
    ]


def statistics(chain):
    found = [chain.stem.layers[0], *(unit.body.layers[0] for unit in chain.units)]
    return [
        np.stack([keras.ops.convert_to_numpy(v) for v in (norm.moving_mean, norm.moving_variance)]) for norm in found
    ]


def in_numpy(data, runs):
    """Mean over batches of each norm's batch statistics, under one pattern for all images."""
    collected = [[], [], []]
    for x in data:
        for place in range(3):
            mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
            collected[place].append(np.stack([mean, variance]))
            normal = (x - mean) / np.sqrt(variance + EPSILON)
            x = normal if place == 0 else x + runs[place - 1] * normal
    return [np.mean(values, axis=0) for values in collected]


@pytest.mark.parametrize("runs", [(1, 1), (0, 1), (1, 0)])
def test_under_a_given_pattern(runs, norms):
    model = DynamicModel(norms, PerUnitGates())
    model.build((None, 4, 4, 2))
    decisions = {"unit1": runs[0], "unit2": runs[1]}
    assert reestimate_batch_norm(model, batches(), decisions) is model
    for found, wanted in zip(statistics(norms), in_numpy(batches(), runs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_under_the_deciders_own_decisions(norms):
    model = DynamicModel(norms, FirstK(1))
    reestimate_batch_norm(model, ((batch, np.zeros(16)) for batch in batches()))  # pairs of images and labels, unbuilt
    for found, wanted in zip(statistics(norms), in_numpy(batches(), (1, 0)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


class Bright(Decider):
    """Runs each unit where the mean of what comes to it is positive."""

    def choose(self, chain):
        return chain.skippable_names

    def decide(self, k, x, carry, training=None):
        mean = keras.ops.mean(x, axis=(1, 2, 3))
        name = self.names[k]
        return {name: mean > 0}, {name: keras.ops.sigmoid(mean)}, carry


def test_every_batch_is_decided_with_the_statistics_from_before(norms):
    """A decision depends on its image and on what was there before, not on which batches came earlier."""
    model = DynamicModel(norms, Bright())
    model.build((None, 4, 4, 2))
    layer_of = [norms.stem.layers[0], *(unit.body.layers[0] for unit in norms.units)]
    rng = np.random.default_rng(3)
    before = [np.stack([rng.normal(0, 0.3, 2), rng.uniform(0.5, 2, 2)]).astype(np.float32) for _ in layer_of]
    before[0][0] += np.mean(batches(), axis=(0, 1, 2, 3))  # so that some images run a unit and some do not

    def normal(x, mean, variance):
        return (x - mean) / np.sqrt(variance + EPSILON)

    collected, runs = [[], [], []], []
    for images in batches():
        inferred, trained, decisions = images, images, []
        for place in range(3):
            batch = np.stack([trained.mean(axis=(0, 1, 2)), trained.var(axis=(0, 1, 2))])
            collected[place].append(batch)
            by_before, by_batch = normal(inferred, *before[place]), normal(trained, *batch)
            if place == 0:
                inferred, trained = by_before, by_batch
                continue
            run = (inferred.mean(axis=(1, 2, 3)) > 0)[:, None, None, None]
            inferred, trained = inferred + run * by_before, trained + run * by_batch
            decisions.append(run.ravel())
        runs.append(decisions)
    assert 0.2 < np.mean(runs) < 0.8
    order = [2, 0, 1]
    for given in (batches(), [batches()[k] for k in order]):
        for norm, (mean, variance) in zip(layer_of, before, strict=True):
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)
        reestimate_batch_norm(model, given)
        for found, wanted in zip(statistics(norms), collected, strict=True):
            np.testing.assert_allclose(found, np.mean(wanted, axis=0), rtol=1e-4, atol=1e-5)


def test_steps(norms):
    model = DynamicModel(norms, FirstK(2))
    reestimate_batch_norm(model, batches(), steps=2)
    for found, wanted in zip(statistics(norms), in_numpy(batches()[:2], (1, 1)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_was_there_before_does_not_matter(norms):
    model = DynamicModel(norms, FirstK(2))
    reestimate_batch_norm(model, batches(seed=1))
    reestimate_batch_norm(model, batches())
    for found, wanted in zip(statistics(norms), in_numpy(batches(), (1, 1)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_momentum_and_frozen_norms_are_as_before(norms):
    model = DynamicModel(norms, FirstK(2))
    model.build((None, 4, 4, 2))
    frozen = norms.units[0].body.layers[0]
    frozen.trainable = False
    norms.stem.layers[0].momentum = 0.7
    reestimate_batch_norm(model, batches())
    assert norms.stem.layers[0].momentum == 0.7
    assert (frozen.trainable, frozen.momentum) == (False, 0.99)
    np.testing.assert_allclose(statistics(norms)[1], in_numpy(batches(), (1, 1))[1], rtol=1e-4, atol=1e-5)


def test_other_weights_and_gates_stay(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates())
    model.build((None, 8, 8, 3))
    before = {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.variables}
    reestimate_batch_norm(model, [toy_images(8, seed) for seed in range(2)])
    changed = {v.path for v in model.variables if (keras.ops.convert_to_numpy(v) != before[v.path]).any()}
    in_chain = {v.path for v in model.chain.variables if "moving" in v.path}
    assert changed == in_chain


def test_settings_come_back_after_an_error(norms):
    model = DynamicModel(norms, FirstK(2))
    with pytest.raises(ValueError, match="was built for images"):
        reestimate_batch_norm(model, [*batches(1), np.zeros((16, 5, 5, 2), np.float32)])
    np.testing.assert_array_equal(statistics(norms)[0], [[0, 0], [1, 1]])  # the statistics too
    assert {norm.momentum for norm in (norms.stem.layers[0], norms.units[0].body.layers[0])} == {0.99}


@pytest.mark.parametrize("arguments", [{"batches": []}, {"batches": [np.zeros((2, 4, 4, 2))], "steps": 0}])
def test_no_batch_is_an_error(arguments, norms):
    model = DynamicModel(norms, FirstK(2))
    model.build((None, 4, 4, 2))
    with pytest.raises(ValueError, match="reestimate_batch_norm got no batch"):
        reestimate_batch_norm(model, **arguments)


def test_the_callback_runs_when_training_ends(norms):
    model = DynamicModel(norms, FirstK(2))
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    callback = ReestimateBatchNorm(batches(), steps=2)
    model.fit(batches(1)[0], np.zeros((16, 2)), callbacks=[callback], verbose=0)
    for found, wanted in zip(statistics(norms), in_numpy(batches()[:2], (1, 1)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
