"""Binary Gumbel samples: their probability, their gradient, their seeds."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import binary_gumbel, logistic_noise

LOGITS = np.array([-2.0, -0.3, 0.0, 0.4, 3.0], np.float32)
NOISE = np.array([1.0, 0.5, -0.2, -1.0, -2.0], np.float32)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_probability_of_1_is_the_sigmoid_of_the_logit(temperature):
    n = 40_000
    samples = binary_gumbel(np.tile(LOGITS, (n, 1)), temperature, seed=1)
    p = sigmoid(LOGITS)
    error = keras.ops.convert_to_numpy(samples).mean(axis=0) - p
    assert (np.abs(error) < 4 * np.sqrt(p * (1 - p) / n)).all()


def test_hard_samples_are_exactly_0_and_1():
    samples = keras.ops.convert_to_numpy(binary_gumbel(np.tile(LOGITS, (1000, 1)), seed=2))
    assert set(np.unique(samples)) == {0.0, 1.0}
    given = binary_gumbel(LOGITS, noise=NOISE)
    assert keras.ops.convert_to_numpy(given).tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_gradient_is_that_of_the_soft_sample(hard, temperature, gradient):
    soft = sigmoid((LOGITS + NOISE) / temperature)
    found = gradient(lambda logits: binary_gumbel(logits, temperature, hard, noise=NOISE), LOGITS)
    np.testing.assert_allclose(found, soft * (1 - soft) / temperature, rtol=1e-5)


def test_soft_samples_are_a_sigmoid():
    found = keras.ops.convert_to_numpy(binary_gumbel(LOGITS, 2.0, hard=False, noise=NOISE))
    np.testing.assert_allclose(found, sigmoid((LOGITS + NOISE) / 2), rtol=1e-6)


def test_a_temperature_may_be_a_variable():
    temperature = keras.Variable(2.0)
    found = binary_gumbel(LOGITS, temperature, hard=False, noise=NOISE)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), sigmoid((LOGITS + NOISE) / 2), rtol=1e-6)


def test_seeds_reproduce():
    def draw(seed):
        return keras.ops.convert_to_numpy(logistic_noise((100,), seed))

    assert (draw(3) == draw(3)).all()
    assert (draw(3) != draw(4)).any()
    generator, again = keras.random.SeedGenerator(5), keras.random.SeedGenerator(5)
    first, second = draw(generator), draw(generator)
    assert (first != second).any()
    assert (draw(again) == first).all()
    assert (draw(again) == second).all()


def test_the_noise_is_logistic():
    noise = keras.ops.convert_to_numpy(logistic_noise((200_000,), seed=0))
    assert np.isfinite(noise).all()
    assert abs(noise.mean()) < 4 * np.pi / np.sqrt(3 * len(noise))
    assert noise.var() == pytest.approx(np.pi**2 / 3, rel=0.02)


def test_half_precision_logits_are_sampled_in_float32():
    samples = binary_gumbel(keras.ops.cast(LOGITS, "bfloat16"), noise=NOISE)
    assert keras.backend.standardize_dtype(samples.dtype) == "float32"
