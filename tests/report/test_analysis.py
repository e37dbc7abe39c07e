"""Who runs what, counted by hand."""

import numpy as np
import pytest

from keras_dynamic.report import analysis
from keras_dynamic.report.schema import PerImage

#            image   0  1  2  3  4  5  6  7
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1])
ANSWERS = np.array([0, 0, 1, 0, 0, 1, 1, 0])  # images 2 and 7 are wrong
DECISIONS = {
    "first": np.array([1, 0, 0, 1, 1, 0, 0, 1.0]),
    "second": np.array([1, 0, 0, 0, 1, 1, 0, 1.0]),
    "third": np.array([0, 1, 0, 0, 0, 0, 0, 1.0]),
}
MACS = np.array([8, 4, 1, 5, 9, 4, 1, 12])


@pytest.fixture
def evaluation():
    pictures = np.zeros((8, 2, 2, 3), np.uint8)
    return PerImage(pictures, LABELS, ANSWERS, MACS, DECISIONS, ("cat", "ship"))


def test_dominant_paths_of_all_images(evaluation):
    first, second, *others = analysis.dominant_paths(evaluation, 10)
    # Two paths have two images each; the one without units comes first.
    assert (first.runs.tolist(), first.images.tolist()) == ([False, False, False], [2, 6])
    assert (first.share, first.accuracy) == (2 / 8, 1 / 2)
    assert (second.runs.tolist(), second.images.tolist()) == ([True, True, False], [0, 4])
    assert second.accuracy == 1.0
    assert [path.images.tolist() for path in others] == [[1], [5], [3], [7]]


def test_classes_at_both_ends_are_shown():
    units = np.array([3, 3, 0, 1, 2, 2, 4, 4])
    decisions = {str(k): (units > k).astype(float) for k in range(4)}
    labels = np.array([5, 5, 1, 1, 2, 2, 9, 9])
    evaluation = PerImage(np.zeros((8, 1, 1, 3), np.uint8), labels, labels, units, decisions, tuple("0123456789"))
    assert analysis.shown_classes(evaluation, 4) == [1, 2, 5, 9]
    assert analysis.shown_classes(evaluation, 3) == [1, 2, 9]
    assert analysis.shown_classes(evaluation, 2) == [1, 9]


def test_share_of_the_spread_between_classes(evaluation):
    # The class means are 6/5 and 4/3, the mean of all 5/4.
    units = np.array([2, 1, 0, 1, 2, 1, 0, 3])
    between = (5 * (6 / 5 - 5 / 4) ** 2 + 3 * (4 / 3 - 5 / 4) ** 2) / 8
    assert analysis.share_by_class(evaluation) == pytest.approx(between / units.var())
    same = evaluation._replace(decisions={"first": LABELS.astype(float)})
    assert analysis.share_by_class(same) == pytest.approx(1.0)
    assert analysis.share_by_class(evaluation._replace(decisions={"first": np.ones(8)})) == 0.0


def test_groups_of_channels_count_one_by_one(evaluation):
    groups = evaluation._replace(decisions={"unit": np.stack([DECISIONS["first"], DECISIONS["third"]], axis=1)})
    assert analysis.dominant_paths(groups, 1)[0].images.tolist() == [2, 5, 6]
