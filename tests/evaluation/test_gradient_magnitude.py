"""Gradient magnitudes against derivatives by hand and by finite differences."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.evaluation.evaluate import compiled_outcome
from keras_dynamic.evaluation.gradients import gradient_magnitudes
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.models import cascade
from tests.methods.learning import chain, colours


def dense(values):
    return layers.Dense(2, use_bias=False, kernel_initializer=keras.initializers.Constant(values))


@pytest.fixture
def by_hand():
    """x + A x, then x + B x of that; the logits are its mean over the one pixel."""
    units = [Residual(dense([[0.5, 0.0], [0.0, 0.0]]), name="first"), Residual(dense([[0, 1], [0, 0]]), name="second")]
    model = DynamicModel(Chain(layers.Identity(), units, layers.GlobalAveragePooling2D()))
    model.build((None, 1, 1, 2))
    return model


def test_a_chain_derived_by_hand(by_hand):
    x = np.array([[[[1.0, 2.0]]], [[[0.0, 1.0]]]], np.float32)
    y = np.array([0, 1])
    a, b = np.eye(2) + [[0.5, 0], [0, 0]], np.eye(2) + [[0, 1], [0, 0]]
    rows, targets = x.reshape(2, 2), np.eye(2)[y]
    hidden = rows @ a
    logits = hidden @ b
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wrong = (chances - targets) / 2  # of the mean of two images
    expected = {"first": np.abs(rows.T @ (wrong @ b.T)).mean(), "second": np.abs(hidden.T @ wrong).mean()}
    assert gradient_magnitudes(by_hand, x, y) == pytest.approx(expected, rel=1e-5)
    # One image a batch: the mean over batches of each batch's own magnitude.
    alone = [(row[:, None] @ (2 * w)[None]) for row, w in zip(hidden, wrong, strict=True)]
    found = gradient_magnitudes(by_hand, x, y, batch_size=1)
    assert found["second"] == pytest.approx(np.mean([np.abs(each).mean() for each in alone]), rel=1e-5)


def test_finite_differences_and_nothing_changes():
    keras.utils.set_random_seed(3)
    model = DynamicModel(chain(2, width=2))
    model.build((None, 8, 8, 3))
    x, y = colours(24)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "moving_variance")):  # statistics of no batch
            weight.assign(0.1 * np.ones(weight.shape))
    before = model.get_weights()
    found = gradient_magnitudes(model, x, y, batch_size=24)
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)

    outcome = compiled_outcome(model)

    def loss():
        logits = outcome(x, None).logits.numpy().astype(float)
        logits -= logits.max(-1, keepdims=True)
        return float((np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(y)), y]).mean())

    for unit in model.chain.units:
        slopes = []
        for kernel in (each for each in unit.body.weights if each.path.endswith("kernel")):
            start = kernel.numpy()
            for place in np.ndindex(*start.shape):
                sides = []
                for step in (0.01, -0.01):
                    moved = start.copy()
                    moved[place] += step
                    kernel.assign(moved)
                    sides.append(loss())
                kernel.assign(start)
                slopes.append(abs(sides[0] - sides[1]) / 0.02)
        assert len(slopes) == 2 * 3 * 3 * 2 * 2
        assert found[unit.name] == pytest.approx(np.mean(slopes), rel=0.02)


def test_frozen_units_and_a_smaller_last_batch_count(by_hand):
    x = np.random.default_rng(0).normal(size=(3, 1, 1, 2)).astype(np.float32)
    y = np.array([[0], [1], [1]])
    found = gradient_magnitudes(by_hand, x, y, batch_size=2)
    parts = [gradient_magnitudes(by_hand, x[rows], y[rows]) for rows in (slice(0, 2), slice(2, 3))]
    assert found == pytest.approx({name: (parts[0][name] + parts[1][name]) / 2 for name in ("first", "second")})
    by_hand.chain.trainable = False
    assert gradient_magnitudes(by_hand, x, y, batch_size=2) == found


def test_what_is_not_plain_is_an_error(by_hand):
    x, y = np.zeros((2, 1, 1, 2), np.float32), np.zeros(2, int)
    gated = DynamicModel(by_hand.chain, PerUnitGates())
    gated.build((None, 1, 1, 2))
    with pytest.raises(ValueError, match=r"those of a plain network, got .* with decisions; give DynamicModel"):
        gradient_magnitudes(gated, x, y)
    with pytest.raises(ValueError, match="y must be 2 labels, one per image, got 1"):
        gradient_magnitudes(by_hand, x, y[:1])
    with pytest.raises(ValueError, match="test images, got none"):
        gradient_magnitudes(by_hand, x[:0], y[:0])


def test_units_without_a_body_are_an_error(by_hand):
    two = cascade([by_hand, by_hand])
    plain = DynamicModel(two.chain)
    plain.build((None, 1, 1, 2))
    with pytest.raises(ValueError, match=r"unit '.*' has no kernels in a body"):
        gradient_magnitudes(plain, np.zeros((2, 1, 1, 2), np.float32), np.zeros(2, int))


def test_another_backend_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(RuntimeError, match="gradient magnitudes need the TensorFlow backend, got 'numpy'; set"):
        gradient_magnitudes(None, [], [])
