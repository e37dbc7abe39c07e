"""Quotas and thresholds by hand, and against the authors' loops."""

import math

import numpy as np
import pytest

from keras_dynamic.ops import budget_thresholds, quota_thresholds, quotas, stops

RISING = np.linspace(0.1, 1.0, 10, dtype=np.float32)[:, None]  # ten images at one exit before the last


def test_quotas_are_powers_over_their_sum():
    np.testing.assert_allclose(quotas(2.0, 3), [2 / 14, 4 / 14, 8 / 14])
    np.testing.assert_allclose(quotas(0.5, 3), [4 / 7, 2 / 7, 1 / 7])
    np.testing.assert_allclose(quotas(1.0, 4), np.full(4, 0.25))
    np.testing.assert_allclose(quotas(1e12, 8)[-1], 1.0)  # no overflow


def test_the_most_confident_fill_the_quota():
    (threshold,) = quota_thresholds(RISING, [0.3, 0.7])
    assert threshold == RISING[7, 0]
    np.testing.assert_array_equal(stops(RISING, [threshold]), [1] * 7 + [0] * 3)
    assert quota_thresholds(RISING, [0.05, 0.95])[0] == np.inf  # half an image
    assert quota_thresholds(RISING, [1.0, 0.0])[0] == RISING[0, 0]


def test_those_who_stopped_do_not_count_at_the_next_exit():
    first = np.array([0.9, 0.8, 0.3, 0.2], np.float32)
    second = np.array([0.99, 0.98, 0.5, 0.6], np.float32)
    thresholds = quota_thresholds(np.stack([first, second], axis=1), [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(thresholds, np.array([0.8, 0.6], np.float32))


def test_equal_confidences_stop_together():
    confidences = np.array([[0.9, 0.7], [0.9, 0.7], [0.9, 0.7], [0.1, 0.6]], np.float32)
    thresholds = quota_thresholds(confidences, [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(thresholds, np.array([0.9, 0.6], np.float32))  # three at once, and the one left


@pytest.mark.parametrize("p", [0.2, 1.0, 1.7])
def test_the_authors_loops_give_the_same(p):
    confidences = np.random.default_rng(0).uniform(size=(200, 5)).astype(np.float32)
    shares, stopped, expected = quotas(p, 5), np.zeros(200, bool), []
    for k in range(4):
        threshold, count = np.float32(np.inf), 0
        for image in np.argsort(-confidences[:, k]):
            if not stopped[image]:
                count += 1
                if count == math.floor(200 * shares[k] + 1e-6):
                    threshold = confidences[image, k]
                    break
        stopped |= confidences[:, k] >= threshold
        expected.append(threshold)
    np.testing.assert_array_equal(quota_thresholds(confidences, shares), expected)


def test_a_budget_is_spent_but_not_exceeded():
    confidences = np.random.default_rng(1).uniform(size=(500, 4))
    macs = np.array([10.0, 30.0, 60.0, 100.0])
    for budget in (10.0, 25.0, 60.0, 99.0):
        spent = macs[stops(confidences, budget_thresholds(confidences, macs, budget))].mean()
        assert budget - 1.5 < spent <= budget
    assert np.isinf(budget_thresholds(confidences, macs, 100.0)).all()


def test_a_budget_of_costs_that_depend_on_the_image():
    rng = np.random.default_rng(2)
    confidences, costs = rng.uniform(size=(500, 3)), np.cumsum(rng.uniform(5, 40, size=(500, 3)), axis=1)
    least, most = costs[:, 0].mean(), costs[:, -1].mean()
    for budget in (least, least + 5, (least + most) / 2, most):
        at = stops(confidences, budget_thresholds(confidences, costs, budget))
        assert budget - 0.5 < costs[np.arange(500), at].mean() <= budget


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quotas(0.0, 3), r"p must be a positive number, got 0\.0"),
        (lambda: quota_thresholds(RISING, [0.3, 0.3]), r"sum to 1, one per exit, got \[0\.3, 0\.3\]"),
        (lambda: quota_thresholds(RISING, [1.5, -0.5]), r"at least 0 that sum to 1"),
        (lambda: quota_thresholds(RISING[:0], [0.5, 0.5]), "fitted on images, got none"),
        (lambda: budget_thresholds(RISING, [50, 90], 10), "at least the first exit's cost of 50, got 10; raise it"),
        (lambda: budget_thresholds(RISING[:0], [50, 90], 60), "fitted on images, got none"),
    ],
)
def test_what_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()
