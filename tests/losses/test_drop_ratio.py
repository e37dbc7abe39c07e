"""Equation 10 by hand, and where its gradient goes."""

import keras
import numpy as np
import pytest

from keras_dynamic.losses import drop_ratio

# Two decided units of three, the third always runs; four images drop 0, 1, 1 and 2 of 3.
DECISIONS = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], np.float32)
EXPECTED = np.array([0.1, 0.5, 0.2, 0.9], np.float32)


@pytest.mark.parametrize(
    ("expected", "units", "loss"),
    [
        (EXPECTED, 3, (3 / 30 + 5 / 30 + 4 / 30 + 7 / 30) / 4),
        (np.float32([0, 1 / 3, 1 / 3, 2 / 3]), 3, 0.0),
        (np.float32([1, 1, 1, 1]), 3, (3 + 2 + 2 + 1) / 12),
        (0.5, 3, (3 / 6 + 1 / 6 + 1 / 6 + 1 / 6) / 4),
        (0.0, 3, 1 / 3),
        (0.5, 2, (0.5 + 0 + 0 + 0.5) / 4),
    ],
)
def test_it_is_the_mean_distance(expected, units, loss):
    assert float(drop_ratio(DECISIONS, expected, units)) == pytest.approx(loss, abs=1e-6)


def test_each_image_is_asked_for_itself():
    """The batch as a whole drops what is expected, no image does."""
    opposite = np.float32([2 / 3, 1 / 3, 1 / 3, 0])
    assert (1 - DECISIONS).sum(axis=0).mean() / 3 == pytest.approx(opposite.mean())
    assert float(drop_ratio(DECISIONS, opposite, 3)) == pytest.approx(2 * (2 / 3) / 4)


def test_the_gradient_asks_units_to_run_where_too_many_are_dropped(gradient):
    found = gradient(lambda decisions: drop_ratio(decisions, EXPECTED, 3), DECISIONS)
    # Images 1, 2 and 4 drop too little: the loss falls as decisions do, by 1 / (3 units x 4 images).
    np.testing.assert_allclose(found, [[1 / 12, 1 / 12, -1 / 12, 1 / 12]] * 2, rtol=1e-5)


def test_no_gradient_goes_into_what_is_expected(gradient):
    found = gradient(lambda expected: drop_ratio(DECISIONS, expected, 3) + 5.0 * expected[0], EXPECTED)
    np.testing.assert_array_equal(found, [5, 0, 0, 0])


def test_it_is_float32():
    assert keras.backend.standardize_dtype(drop_ratio(DECISIONS, EXPECTED, 3).dtype) == "float32"
