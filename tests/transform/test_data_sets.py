"""Networks on sequences, and data sets of batches, wherever a function takes images."""

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic import evaluation, transform

X = np.random.default_rng(0).normal(0, 1, (30, 16, 3)).astype("float32")
Y = np.arange(30) % 4


class Batches(keras.utils.PyDataset):
    """Five batches; beyond them, unlike a list, it gives more."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = slice(6 * (index % 5), 6 * (index % 5) + 6)
        return X[rows], Y[rows]


def tf_batches():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(6)


@pytest.fixture
def gated():
    keras.utils.set_random_seed(0)

    def block():
        return [keras.layers.Conv1D(6, 3, padding="same"), keras.layers.BatchNormalization()]

    units = [kd.layers.Residual(block(), activation="relu", name=f"unit{k}") for k in range(3)]
    head = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(4)]
    model = kd.methods.ActivationGating(kd.layers.Chain([keras.layers.Conv1D(6, 3)], units, head))
    model.build((None, 16, 3))
    model.decider.set_tau(0.4)
    return model


@pytest.mark.parametrize("make", [Batches, tf_batches])
def test_data_sets_are_as_arrays(gated, make):
    assert evaluation.tau_sweep(gated, make(), taus=(0.2, 0.8)) == evaluation.tau_sweep(gated, X, Y, taus=(0.2, 0.8))
    logits, _ = evaluation.stochastic(gated, make(), runs=2)
    np.testing.assert_array_equal(logits, evaluation.stochastic(gated, X, runs=2)[0])
    assert len(transform.prune_dead_units(gated, make()).chain.units) == 3
    frozen = [transform.freeze_decisions(gated, images).decider.frozen for images in (make(), X)]
    assert frozen[0] == frozen[1] != {}
    importance = transform.init_gates_by_importance(gated, make())
    assert set(importance) == {"unit0", "unit1", "unit2"}
    assert max(importance.values()) == 1.0


@pytest.mark.parametrize("make", [Batches, tf_batches])
def test_batch_norm_is_reestimated_on_a_data_set(gated, make):
    kept = gated.get_weights()
    kd.callbacks.reestimate_batch_norm(gated, make())
    found = gated.get_weights()
    gated.set_weights(kept)
    kd.callbacks.reestimate_batch_norm(gated, [(X[k : k + 6], Y[k : k + 6]) for k in range(0, 30, 6)])
    for value, expected in zip(found, gated.get_weights(), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_sequences_are_served(gated):
    pytest.importorskip("tensorflow")
    outcome = kd.serving.compact(gated)(X)
    np.testing.assert_allclose(outcome.logits, gated.outcome(X, training=False).logits, atol=1e-5)
    with pytest.raises(ValueError, match=r"a batch of images, \[batch, 16, 3\], got shape \(16, 3\)"):
        kd.serving.compact(gated)(X[0])
