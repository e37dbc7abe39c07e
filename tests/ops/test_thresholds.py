"""Threshold searches against brute force."""

import itertools

import numpy as np
import pytest

from keras_dynamic.ops import fit_thresholds, quantile_thresholds, stops

INF = np.inf


def answers(confidences, thresholds):
    """Where each image stops, in plain Python."""
    found = []
    for row in confidences:
        stage = 0
        while stage < len(thresholds) and row[stage] < thresholds[stage]:
            stage += 1
        found.append(stage)
    return np.array(found)


def every_result(confidences, correct, macs):
    """Yields (accuracy, mean MACs) of every set of thresholds that tells images apart differently."""
    macs = np.broadcast_to(macs, correct.shape)
    rows = np.arange(len(correct))
    for thresholds in itertools.product(*([*np.unique(column), INF] for column in confidences.T)):
        at = answers(confidences, thresholds)
        yield correct[rows, at].mean(), macs[rows, at].mean()


def problem(stages, seed, images=7):
    """Confidences with ties, answers that get better, and rising costs."""
    rng = np.random.default_rng(seed)
    confidences = rng.random((images, stages - 1)).round(1).astype(np.float32)
    correct = rng.random((images, stages)) < np.linspace(0.4, 0.8, stages)
    return confidences, correct, np.cumsum(rng.integers(1, 10, stages)).astype(float)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.parametrize("per_image", [False, True])
def test_with_a_budget_it_is_the_most_accurate_and_then_the_cheapest(stages, seed, per_image):
    confidences, correct, macs = problem(stages, seed)
    if per_image:
        macs = np.cumsum(np.random.default_rng(seed).integers(1, 10, correct.shape), axis=1).astype(float)
    lowest, highest = np.broadcast_to(macs, correct.shape).mean(axis=0)[[0, -1]]
    for share in (0.0, 0.3, 0.7, 1.0):
        budget = lowest + share * (highest - lowest)
        fitted = fit_thresholds(confidences, correct, macs, budget)
        allowed = [result for result in every_result(confidences, correct, macs) if result[1] <= budget + 1e-9]
        best = max(allowed, key=lambda result: (round(result[0], 9), -result[1]))
        assert (fitted.accuracy, fitted.spent) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stages", [2, 3, 4])
def test_without_a_budget_it_is_the_cheapest_that_is_as_good_as_the_last(stages, seed):
    confidences, correct, macs = problem(stages, seed)
    fitted = fit_thresholds(confidences, correct, macs)
    reference = correct[:, -1].mean()
    good = [result for result in every_result(confidences, correct, macs) if result[0] >= reference]
    best = min(good, key=lambda result: (result[1], -result[0]))
    assert (fitted.accuracy, fitted.spent) == pytest.approx(best[:2])


def test_the_thresholds_give_what_is_promised():
    confidences, correct, macs = problem(3, seed=3, images=40)
    fitted = fit_thresholds(confidences, correct, macs, budget=macs.mean())
    at = answers(confidences, fitted.thresholds)
    assert fitted.thresholds.dtype == np.float32
    assert fitted.accuracy == correct[np.arange(40), at].mean()
    assert fitted.spent == macs[at].mean()


def test_ties_go_to_the_cheaper():
    # The later network changes no answer, so not running it is as accurate.
    fitted = fit_thresholds([[0.2], [0.9]], [[1, 1], [0, 0]], [10.0, 30.0], budget=30.0)
    assert fitted.spent == 10.0
    # Running it for the unsure image alone is as accurate as running it for both.
    fitted = fit_thresholds([[0.2], [0.9]], [[0, 1], [1, 1]], [10.0, 30.0], budget=30.0)
    assert fitted.accuracy == 1.0
    assert fitted.spent == 20.0
    assert fitted.thresholds.tolist() == pytest.approx([0.9])


def test_equal_confidences_go_together():
    fitted = fit_thresholds([[0.5], [0.5]], [[0, 1], [1, 0]], [10.0, 30.0], budget=20.0)
    assert fitted.spent == 10.0  # sending only one of them on is no option, sending both breaks the budget


def test_a_reference_beside_the_stages():
    confidences, stages = [[0.1], [0.8]], [[0, 1], [1, 1]]
    alone = [[1], [0]]  # the last network alone is right once, and so is the first one
    fitted = fit_thresholds(confidences, np.hstack([stages, alone]), [10.0, 30.0])
    assert fitted.spent == 10.0
    assert fitted.accuracy == 0.5


def test_an_unreachable_reference_is_an_error():
    correct = [[0, 0, 1], [0, 0, 1]]
    with pytest.raises(
        ValueError, match=r"no thresholds reach the last network's accuracy of 1\.0000 .* give a budget"
    ):
        fit_thresholds([[0.5], [0.6]], correct, [10.0, 30.0])


def test_a_budget_under_the_first_stage_is_an_error():
    with pytest.raises(ValueError, match=r"budget must be at least the first network's 10 MACs, got 9"):
        fit_thresholds([[0.5]], [[0, 1]], [10.0, 30.0], budget=9.0)


def test_one_stage_has_no_thresholds():
    fitted = fit_thresholds(np.zeros((4, 0)), [[1], [1], [1], [0]], [10.0], budget=10.0)
    assert fitted.thresholds.shape == (0,)
    assert (fitted.accuracy, fitted.spent) == (0.75, 10.0)


def test_a_search_too_large_to_be_exact_is_close():
    rng = np.random.default_rng(0)
    confidences = rng.random((300, 3)).astype(np.float32)
    certain = np.hstack([confidences, np.ones((300, 1))])
    correct = rng.random((300, 4)) < 0.5 + 0.5 * certain  # what a stage is sure of is more often right
    macs = np.array([1.0, 2.0, 4.0, 8.0])
    fitted = fit_thresholds(confidences, correct, macs, budget=4.0)
    assert fitted.spent <= 4.0
    tried = [quantile_thresholds(confidences, [q] * 3) for q in np.linspace(0, 1, 21)]
    results = [answers(confidences, thresholds) for thresholds in tried]
    allowed = [correct[np.arange(300), at].mean() for at in results if macs[at].mean() <= 4.0]
    assert fitted.accuracy >= max(allowed)


def test_stops():
    confidences = np.array([[0.9, 0.1], [0.5, 0.7], [0.5, 0.6], [0.1, 0.1]])
    assert stops(confidences, [0.8, 0.7]).tolist() == [0, 1, 2, 2]
    assert stops(confidences, [0.5, INF]).tolist() == [0, 0, 0, 2]
    assert stops(confidences, [INF, INF]).tolist() == [2, 2, 2, 2]
    assert stops(np.ones((3, 1)), []).tolist() == [0, 0, 0]


def test_quantiles_are_shares_of_those_still_going():
    first = [0.5, 0.1, 0.4, 0.2, 0.3]
    second = [0.0, 0.8, 0.9, 0.6, 0.7]
    thresholds = quantile_thresholds(np.stack([first, second], axis=1), [0.8, 0.5])
    # Four of five go on, all but 0.5; of their second confidences .8 .9 .6 .7 two lie under the threshold.
    assert thresholds.tolist() == pytest.approx([0.5, 0.8])
    assert thresholds.dtype == np.float32


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_quantile_gives_its_share(share):
    confidences = np.random.default_rng(0).random((1000, 1))
    threshold = quantile_thresholds(confidences, [share])[0]
    assert (confidences < threshold).mean() == pytest.approx(share, abs=0.002)


def test_the_ends_of_the_quantiles():
    confidences = np.array([[0.3, 0.5], [0.6, 0.9]])
    assert quantile_thresholds(confidences, [1, 1]).tolist() == [INF, INF]
    # Nobody goes on, so the second threshold is that of all images.
    np.testing.assert_allclose(quantile_thresholds(confidences, [0, 0.5]), [0.3, 0.9], rtol=1e-6)


@pytest.mark.parametrize("quantiles", [[-0.1], [1.1], [np.nan], 0.5])
def test_quantiles_outside_their_range_are_an_error(quantiles):
    with pytest.raises(ValueError, match="quantiles must be numbers between 0 and 1, one per threshold"):
        quantile_thresholds(np.ones((3, 1)), quantiles)
