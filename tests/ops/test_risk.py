"""Tests of a risk, against sums over all outcomes and by simulation."""

import itertools
import math

import numpy as np
import pytest

from keras_dynamic.ops.risk import _excess_tail, excess_p_value, images_needed, share_p_value


@pytest.mark.parametrize(("count", "images", "risk"), [(0, 10, 0.1), (2, 30, 0.2), (7, 7, 0.5)])
def test_the_binomial_tail_by_hand(count, images, risk):
    expected = sum(math.comb(images, k) * risk**k * (1 - risk) ** (images - k) for k in range(count + 1))
    assert share_p_value(count, images, risk) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("losing", "gaining"), [(0.3, 0.1), (0.05, 0.0), (0.2, 0.2)])
def test_the_tail_of_the_excess_by_summing_over_all_outcomes(losing, gaining):
    images = 9
    for difference in (-2, 0, 1, 3):
        expected = 0.0
        for lost, gained in itertools.product(range(images + 1), repeat=2):
            same = images - lost - gained
            if same >= 0 and lost - gained <= difference:
                ways = math.factorial(images) / math.factorial(lost) / math.factorial(gained) / math.factorial(same)
                expected += ways * losing**lost * gaining**gained * (1 - losing - gaining) ** same
        assert _excess_tail(difference, images, losing, gaining) == pytest.approx(expected, rel=1e-9)


def test_wrong_promises_are_as_rare_as_promised():
    """Where the excess is exactly the risk, p <= 0.1 in at most 10 % of samples, and not much less often."""
    rng, images, risk, gaining = np.random.default_rng(0), 2000, 0.02, 0.03
    counts = rng.multinomial(images, [gaining + risk, gaining, 1 - 2 * gaining - risk], size=150)
    found = np.array([excess_p_value(lost, gained, images, risk) for lost, gained, _ in counts])
    wrong = (found <= 0.1).mean()
    assert 0.01 < wrong <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / 150)


def test_images_needed():
    assert images_needed(0.01, 0.1) == 230
    assert share_p_value(0, 230, 0.01) <= 0.1 < share_p_value(0, 229, 0.01)


def test_an_excess_that_is_clear():
    assert excess_p_value(0, 0, 5000, 0.01) < 0.01
    assert excess_p_value(100, 0, 5000, 0.01) > 0.9
    assert excess_p_value(30, 30, 5000, 0.01) < 0.01
    assert excess_p_value(5000, 0, 5000, 0.01) == 1.0
