"""Distillation against NumPy."""

import numpy as np
import pytest

from keras_dynamic.losses import distillation

RNG = np.random.default_rng(0)
STUDENT, TEACHER = (RNG.normal(0, 3, (6, 5)).astype(np.float32) for _ in range(2))


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_is_the_scaled_mean_divergence(temperature):
    p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    assert float(distillation(STUDENT, TEACHER, temperature)) == pytest.approx(expected, rel=1e-4)


def test_it_is_0_for_equal_answers():
    assert float(distillation(STUDENT, STUDENT + 3.0)) == pytest.approx(0.0, abs=1e-5)


def test_the_gradient_reaches_the_student_alone(gradient):
    p, q = softmax(TEACHER / 4), softmax(STUDENT / 4)
    found = gradient(lambda student: distillation(student, TEACHER, 4.0), STUDENT)
    np.testing.assert_allclose(found, 4.0 * (q - p) / len(STUDENT), atol=1e-5)
    assert not gradient(lambda x: distillation(STUDENT, x) + 0.0 * x[0, 0], TEACHER).any()
