"""The activation losses: the papers' equations by hand, and Property 3.1."""

import functools
import itertools

import keras
import numpy as np
import pytest

from keras_dynamic.losses import batch_activation, mac_weighted, per_gate
from keras_dynamic.ops import binary_gumbel

# Two gates, four images: gate rates 3/4 and 1/4, batch rate 1/2.
DECISIONS = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], np.float32)


@pytest.mark.parametrize(("target", "loss"), [(0.5, 0.0), (0.6, 0.01), (0.0, 0.25), (1.0, 0.25)])
def test_batch_activation_is_equation_1(target, loss):
    assert float(batch_activation(DECISIONS, target)) == pytest.approx(loss)


@pytest.mark.parametrize(("target", "loss"), [(0.5, 0.0), (0.6, 0.0), (0.4, 0.01), (0.0, 0.25), (1.0, 0.0)])
def test_const_quad_is_equation_3(target, loss):
    assert float(batch_activation(DECISIONS, target, const_quad=True)) == pytest.approx(loss, abs=1e-7)


@pytest.mark.parametrize(
    ("target", "const_quad", "loss"),
    [
        (0.5, False, (0.25**2 + 0.25**2) / 2),
        (0.6, False, (0.15**2 + 0.35**2) / 2),
        (0.6, True, 0.15**2 / 2),
        ([0.75, 0.25], False, 0.0),
        ([0.25, 0.75], False, (0.5**2 + 0.5**2) / 2),
        ([0.25, 0.75], True, 0.5**2 / 2),
    ],
)
def test_per_gate_is_aigs(target, const_quad, loss):
    target = np.float32(target)
    assert float(per_gate(DECISIONS, target, const_quad)) == pytest.approx(loss, abs=1e-7)


@pytest.mark.parametrize(
    ("target", "const_quad", "loss"), [(0.6, False, 0.04), (0.9, False, 0.01), (0.9, True, 0.0), (0.6, True, 0.04)]
)
def test_mac_weighted(target, const_quad, loss):
    cost = np.array([0.5, 0.9, 0.8, 1.0], np.float32)  # mean 0.8
    assert float(mac_weighted(cost, target, const_quad)) == pytest.approx(loss, abs=1e-7)


def test_gradients(gradient):
    # d/dz (t - mean z)^2 = -2 (t - mean z) / n
    np.testing.assert_allclose(gradient(lambda z: batch_activation(z, 0.6), DECISIONS), -2 * 0.1 / 8, rtol=1e-5)
    np.testing.assert_allclose(gradient(lambda z: batch_activation(z, 0.6, True), DECISIONS), 0.0)
    np.testing.assert_allclose(
        gradient(lambda z: per_gate(z, 0.6), DECISIONS),
        [[2 * 0.15 / 8] * 4, [-2 * 0.35 / 8] * 4],
        rtol=1e-5,
    )


# Property 3.1: probabilities [gates, batch] of independent decisions.
GATES, BATCH = 3, 2
SOME = np.array([[0.9, 0.2], [0.5, 0.7], [0.05, 0.6]])
POLARISED = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])


def expectation(loss, p):
    """E[loss] by enumerating all decisions."""
    total = 0.0
    for bits in itertools.product([0.0, 1.0], repeat=p.size):
        z = np.array(bits).reshape(p.shape)
        total += np.prod(np.where(z, p, 1 - p)) * float(loss(z.astype(np.float32)))
    return total


@pytest.mark.parametrize("target", [0.0, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("p", [SOME, POLARISED, np.full((GATES, BATCH), 0.5)], ids=["some", "polarised", "half"])
def test_the_expected_batch_loss_is_bias_squared_plus_variance(p, target):
    bias = (target - p.mean()) ** 2
    variance = (p * (1 - p)).sum() / (GATES * BATCH) ** 2
    assert expectation(lambda z: batch_activation(z, target), p) == pytest.approx(bias + variance, abs=1e-6)


def test_the_expected_batch_loss_is_0_only_for_polarised_gates():
    target = POLARISED.mean()
    assert expectation(lambda z: batch_activation(z, target), POLARISED) == pytest.approx(0.0, abs=1e-9)
    for where in np.ndindex(POLARISED.shape):
        unsure = POLARISED.copy()
        unsure[where] = 0.5
        loss = functools.partial(batch_activation, target=unsure.mean())
        assert expectation(loss, unsure) == pytest.approx(0.25 / 36, abs=1e-6)  # the variance of one open question


def test_the_expected_per_gate_loss_is_0_only_if_each_gate_meets_the_target():
    half = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert expectation(lambda z: per_gate(z, 0.5), half) == pytest.approx(0.0, abs=1e-9)
    # The batch loss is content with polarised gates of the same mean; the per-gate loss is not.
    mixed = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert expectation(lambda z: batch_activation(z, 0.5), mixed) == pytest.approx(0.0, abs=1e-9)
    assert expectation(lambda z: per_gate(z, 0.5), mixed) == pytest.approx(2 * 0.25 / 3, abs=1e-6)


def test_sampled_gates_have_the_expected_loss():
    n, target = 20_000, 0.3
    logits = np.log(SOME / (1 - SOME)).astype(np.float32)
    samples = binary_gumbel(np.tile(logits, (n, 1, 1)), seed=0)
    losses = keras.ops.vectorized_map(lambda z: batch_activation(z, target), samples)
    losses = keras.ops.convert_to_numpy(losses)
    expected = (target - SOME.mean()) ** 2 + (SOME * (1 - SOME)).sum() / SOME.size**2
    assert abs(losses.mean() - expected) < 4 * losses.std() / np.sqrt(n)
