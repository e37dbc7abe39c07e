"""Values of 0 and 1, and the slopes that each estimator hands back."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import ESTIMATORS, round_straight_through

X = np.array([-0.5, 0.0, 0.2, 0.5, 0.51, 1.0, 1.5], np.float32)
ROUNDED = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
SLOPES = {
    "identity": np.ones(7),
    "clipped": np.array([0, 1, 1, 1, 1, 1, 0]),
    "sinc": np.sinc(2 * (X - 0.5)),  # numpy's sinc(t) is sin(pi t) / (pi t)
}


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_values_are_exactly_0_and_1(estimator):
    rounded = keras.ops.convert_to_numpy(round_straight_through(X, estimator))
    assert rounded.tolist() == ROUNDED
    assert rounded.dtype == np.float32


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_the_gradient_is_the_incoming_one_times_the_slope(estimator, gradient):
    incoming = np.arange(1.0, 8.0, dtype=np.float32)
    found = gradient(lambda x: incoming * round_straight_through(x, estimator), X)
    np.testing.assert_allclose(found, incoming * SLOPES[estimator], atol=1e-6)


def test_the_sinc_slope_is_1_at_the_threshold_and_0_at_0_and_1(gradient):
    found = gradient(lambda x: round_straight_through(x, "sinc"), np.array([0.5, 0.0, 1.0], np.float32))
    np.testing.assert_allclose(found, [1.0, 0.0, 0.0], atol=1e-6)


def test_half_precision_stays_half_precision():
    rounded = round_straight_through(keras.ops.cast(X, "bfloat16"), "sinc")
    assert keras.backend.standardize_dtype(rounded.dtype) == "bfloat16"
    assert keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32")).tolist() == ROUNDED


def test_an_unknown_estimator_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"estimator must be one of .*'identitty' \(did you mean 'identity'\?\)"):
        round_straight_through(X, "identitty")
