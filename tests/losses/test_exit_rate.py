"""The loss on exits that too few images take, by hand."""

import numpy as np
import pytest

from keras_dynamic.losses import exit_rate

# Of ten images four stop at the first exit; of the six that reach the second, three stop there.
GOING = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]], np.float32)


@pytest.mark.parametrize(
    ("target", "loss"),
    [
        (0.4, 0.0),  # rates 0.4 and 0.5
        (0.0, 0.0),
        (0.5, 0.1**2 / 2),
        (0.7, (0.3**2 + 0.2**2) / 2),
        (1.0, (0.6**2 + 0.5**2) / 2),
        ([0.3, 0.8], 0.3**2 / 2),
        ([0.8, 0.3], 0.4**2 / 2),
    ],
)
def test_it_is_quadratic_under_the_target_and_zero_above(target, loss):
    assert float(exit_rate(GOING, np.float32(target))) == pytest.approx(loss, abs=1e-6)


def test_an_exit_that_no_image_reaches_costs_nothing():
    nobody = np.zeros((2, 4), np.float32)
    assert float(exit_rate(nobody, 1.0)) == pytest.approx(0.0, abs=1e-7)


def test_an_exit_answers_for_its_own_rate_alone(gradient):
    found = gradient(lambda going: exit_rate(going, 0.7), GOING)
    # d (target - 1 + sum of going / reached)^2 / 2 = (target - rate) / reached
    np.testing.assert_allclose(found[0], 0.3 / 10, rtol=1e-5)
    np.testing.assert_allclose(found[1], 0.2 / 6, rtol=1e-5)


def test_above_the_target_there_is_no_gradient(gradient):
    assert not gradient(lambda going: exit_rate(going, 0.3), GOING).any()
