"""Targets that follow the activation, by hand."""

import numpy as np
import pytest

from keras_dynamic.losses import exponential_target, moving_target

RATES = [0.9, 0.3, 0.6, 0.2]


def test_a_moving_target_is_the_mean_of_its_start_and_the_rates_so_far():
    target = 0.8
    for seen, rate in enumerate(RATES, start=1):
        target = moving_target(target, rate, seen)
        assert target == pytest.approx(np.mean([0.8, *RATES[:seen]]))
    assert target == pytest.approx(0.56)


def test_an_exponential_target_forgets_its_start():
    # 0.75 * 0.8 + 0.25 * 0.4 = 0.7; 0.75 * 0.7 + 0.25 * 0.1 = 0.55
    first = exponential_target(0.8, 0.4, 0.75)
    assert (first, exponential_target(first, 0.1, 0.75)) == (pytest.approx(0.7), pytest.approx(0.55))
    assert exponential_target(0.8, 0.4, 1.0) == pytest.approx(0.8)
    assert exponential_target(0.8, 0.4, 0.0) == pytest.approx(0.4)


def test_each_gate_has_its_own():
    targets, rates = np.array([0.8, 0.2]), np.array([0.4, 0.4])
    np.testing.assert_allclose(moving_target(targets, rates, 3), [0.7, 0.25])
    np.testing.assert_allclose(exponential_target(targets, rates, 0.5), [0.6, 0.3])
