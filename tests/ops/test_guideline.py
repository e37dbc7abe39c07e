"""Equations 9 and 11: worked figures, the paper's own forms in NumPy, and that the number of units cancels."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import expected_drop_ratio, softmax_variance

CLASSES = pytest.mark.parametrize("classes", [10, 100])
MAXIMA = pytest.mark.parametrize("s_max", [0.2, 0.8])


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def some_logits(classes, scale=3.0):
    return np.random.default_rng(classes).normal(0, scale, (64, classes))


@CLASSES
@pytest.mark.parametrize("scale", [0.1, 3.0, 20.0])
def test_the_variance_is_equation_9_in_its_second_form(classes, scale):
    logits = some_logits(classes, scale)
    powers = np.exp(logits)
    wanted = (powers**2).sum(axis=1) / (classes * powers.sum(axis=1) ** 2) - 1 / classes**2
    found = numpy(softmax_variance(logits))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-8)
    assert found.shape == (64,)
    assert found.min() >= 0
    assert found.max() <= (1 - 1 / classes) / classes + 1e-7


@pytest.mark.parametrize(("classes", "largest"), [(2, 0.25), (10, 0.09), (100, 0.0099)])
def test_worked_variances(classes, largest):
    certain, torn, unsure = np.full((3, classes), -1e4)
    certain[1], torn[:2], unsure[:] = 1e4, 1e4, 1e4
    found = numpy(softmax_variance(np.stack([certain, torn, unsure])))
    # Torn between two: 2 (1/2 - 1/M)^2 and M - 2 times 1/M^2, over M.
    np.testing.assert_allclose(found, [largest, (0.5 - 1 / classes) / classes, 0.0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("classes", "s_max", "certain", "torn"),
    [
        (10, 0.2, 0.181948, 0.085390),
        (10, 0.8, 0.765076, 0.474694),
        (100, 0.2, 0.198213, 0.103575),
        (100, 0.8, 0.796755, 0.545531),
    ],
)
def test_worked_ratios(classes, s_max, certain, torn):
    """Of 1 - (1 - s_max)^(1 - 1/M) and 1 - (1 - s_max)^(1/2 - 1/M); 0.765 is ResNet-110's 0.23 in table 1."""
    variance = np.array([(1 - 1 / classes) / classes, (0.5 - 1 / classes) / classes, 0.0])
    found = numpy(expected_drop_ratio(variance, classes, s_max))
    np.testing.assert_allclose(found, [certain, torn, 0.0], atol=2e-6)


@CLASSES
@MAXIMA
def test_ratios_lie_between_0_and_s_max_and_grow_with_the_variance(classes, s_max):
    variance = np.linspace(0, 1 / classes, 50)  # the bound that the paper gives, which no softmax reaches
    found = numpy(expected_drop_ratio(variance, classes, s_max))
    assert (np.diff(found) > 0).all()
    assert found[0] == 0.0
    assert found[-1] == pytest.approx(s_max, rel=1e-5)
    assert found[-2] < s_max


@CLASSES
@MAXIMA
@pytest.mark.parametrize("units", [5, 15])
def test_the_number_of_units_cancels_in_equation_11(classes, s_max, units):
    scale = -classes * np.log(1 - s_max) / np.log(units)
    variance = numpy(softmax_variance(some_logits(classes))).astype(np.float64)
    wanted = 1 - units ** (1 - scale * variance) / units
    np.testing.assert_allclose(numpy(expected_drop_ratio(variance, classes, s_max)), wanted, atol=1e-6)


@MAXIMA
def test_a_surer_answer_is_asked_to_drop_more(s_max):
    logits = some_logits(10, 1.0)
    ratios = [numpy(expected_drop_ratio(softmax_variance(k * logits), 10, s_max)) for k in (0.1, 1.0, 3.0)]
    assert (ratios[0] < ratios[1]).all()
    assert (ratios[1] < ratios[2]).all()


def test_what_is_added_to_all_logits_changes_nothing():
    logits = some_logits(10)
    np.testing.assert_allclose(softmax_variance(logits + 50.0), softmax_variance(logits), rtol=1e-4)


def test_half_precision_is_worked_out_in_float32():
    logits = np.array([[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    variance = softmax_variance(keras.ops.cast(logits, "bfloat16"))
    ratio = expected_drop_ratio(keras.ops.cast(variance, "bfloat16"), 10, 0.8)
    assert {keras.backend.standardize_dtype(each.dtype) for each in (variance, ratio)} == {"float32"}
    share = np.exp(4) / (np.exp(4) + 9)  # of the first class; the others have (1 - share) / 9 each
    assert float(variance[0]) == pytest.approx(((share - 0.1) ** 2 + 9 * ((1 - share) / 9 - 0.1) ** 2) / 10, rel=1e-5)


def test_the_variance_has_the_gradient_of_the_softmax(gradient):
    """d var / d s_i = 2/M p_i (p_i - sum p^2)."""
    logits = some_logits(10, 1.0).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = 2 / 10 * p * (p - (p**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(gradient(softmax_variance, logits), wanted, atol=1e-6)


@pytest.mark.parametrize("s_max", [0.0, 1.0, -0.2, 80])
def test_an_s_max_outside_of_0_and_1_is_an_error(s_max):
    with pytest.raises(ValueError, match=f"s_max must lie strictly between 0 and 1, got {s_max}"):
        expected_drop_ratio(np.zeros(3, np.float32), 10, s_max)
