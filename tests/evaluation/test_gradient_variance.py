"""Variances of gradients by hand, and eq. 5's share of them."""

import numpy as np
import pytest

from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation import gradient_variances
from keras_dynamic.layers import Chain, DynamicModel, Exit
from tests.evaluation.exits import by_hand

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(12, 1, 1, 2)).astype(np.float32), rng.integers(0, 2, 12)
A, B = np.array([[1.5, 0], [0, 1]]), np.array([[1.0, 1], [0, 1]])


def wrong(logits, labels):
    """Gradient of the mean cross entropy by the logits."""
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True) - np.eye(2)[labels]) / len(labels)


def expected(weights, size):
    """Total variance of both blocks' gradients over batches of that size."""
    gradients = []
    for start in range(0, len(X), size):
        rows, labels = X[start : start + size, 0, 0], Y[start : start + size]
        hidden = rows @ A
        early, late = (weight * wrong(each, labels) for weight, each in zip(weights, (hidden, hidden @ B), strict=True))
        gradients.append((rows.T @ (early + late @ B.T), hidden.T @ late))
    return [np.var([each[block] for each in gradients], axis=0, ddof=1).sum() for block in (0, 1)]


@pytest.mark.parametrize(("weights", "size"), [(None, 4), ([2.0, 0.5], 3)])
@pytest.mark.parametrize("decider", [None, Confidence])
def test_by_hand(weights, size, decider):
    found = gradient_variances(by_hand(decider and decider()), X, Y, weights, batch_size=size)
    first, second = expected(weights or [1.0, 1.0], size)
    assert found["plain"] == pytest.approx([first, second], rel=1e-4)
    assert found["equilibrium"] == pytest.approx([first / 4, second], rel=1e-4)  # (1 / 2)^2, (1 / 1)^2


def test_images_over_are_left_out_and_nothing_changes():
    model = by_hand()
    before = model.get_weights()
    found = gradient_variances(model, X, Y[:, None], batch_size=5)
    assert found == gradient_variances(model, X[:10], Y[:10], batch_size=5)
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_what_cannot_be():
    with pytest.raises(ValueError, match="two batches or more, got 12 images in batches of 12"):
        gradient_variances(by_hand(), X, Y, batch_size=12)
    chain = by_hand().chain
    twice = [*chain.exits, Exit(chain.head, "first", name="again")]
    model = DynamicModel(Chain(chain.stem, chain.units, chain.head, twice))
    model.build((None, 1, 1, 2))
    with pytest.raises(ValueError, match="block 2 of the chain has no kernels; two exits are after the same unit"):
        gradient_variances(model, X, Y, batch_size=4)
