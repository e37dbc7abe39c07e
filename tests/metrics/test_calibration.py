"""Bins by hand, and by loops."""

import numpy as np
import pytest

from keras_dynamic.metrics import calibration


def test_three_bins_by_hand():
    confidences = [0.2, 0.3, 0.9, 0.7]
    found = calibration(confidences, [True, False, True, True], bins=3)
    assert found.confidences == pytest.approx([0.25, 0.8])  # nobody between a third and two thirds
    assert found.accuracies == [0.5, 1.0]
    assert found.shares == [0.5, 0.5]
    assert found.error == pytest.approx(0.5 * 0.25 + 0.5 * 0.2)


def test_fifteen_bins_by_loops():
    rng = np.random.default_rng(0)
    confidences, correct = rng.uniform(size=400), rng.uniform(size=400) < 0.6
    error = 0.0
    for k in range(15):
        inside = [j for j in range(400) if k / 15 < confidences[j] <= (k + 1) / 15]
        if inside:
            gap = np.mean(correct[inside]) - np.mean(confidences[inside])
            error += len(inside) / 400 * abs(gap)
    assert calibration(confidences, correct).error == pytest.approx(error)


def test_the_ends_are_in_bins():
    assert calibration([0.0, 1.0], [False, True]).error == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [True, False]), r"got shapes \[1\] and \[2\]"),
        (([], []), r"got shapes \[0\] and \[0\]"),
        (([1.5], [True]), r"probabilities in \[0, 1\]"),
        (([float("nan")], [True]), r"probabilities in \[0, 1\]"),
        (([0.5], [True], 0), "bins must be at least 1, got 0"),
    ],
)
def test_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration(*arguments)
