"""Bars and points that stand for the right images."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures
from keras_dynamic.report.schema import PerImage


def evaluation_of(units, right, count):
    """Images that run so many of `count` units each, answered rightly or not."""
    units, labels = np.asarray(units), np.zeros(len(units), int)
    decisions = {f"u{k}": (units > k).astype(np.float32) for k in range(count)}
    return PerImage(
        np.zeros((len(units), 4, 4, 3), np.uint8), labels, 1 - np.asarray(right, int), units, decisions, ("a", "b")
    )


def test_bars_are_shares_of_images_and_points_shares_of_right_answers():
    evaluation = evaluation_of([1, 1, 1, 2, 2, 4, 4, 4, 4, 4], [1, 1, 1, 1, 0, 1, 1, 1, 0, 0], 5)
    bars, points = decision_pictures.units_and_accuracy(evaluation, "red").axes
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([30, 20, 50])
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars.patches] == pytest.approx([1, 2, 4])
    assert [text.get_text() for text in bars.texts] == ["30", "20", "50"]
    line, dashed = points.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 100], [2, 50], [4, 60]])
    assert dashed.get_ydata() == pytest.approx([70, 70])
    assert points.get_xlabel() == "Units run, of 5 that can be skipped"


def test_the_accuracy_of_a_few_images_is_left_out():
    units = [0] * 500 + [1] * 496 + [2] * 4
    _, points = decision_pictures.units_and_accuracy(evaluation_of(units, [1] * 1000, 3), "red").axes
    assert points.lines[0].get_xdata().tolist() == [0, 1]


def test_widely_spread_numbers_share_bars():
    units = np.arange(100)
    bars, points = decision_pictures.units_and_accuracy(evaluation_of(units, units >= 50, 120), "red").axes
    # 100 numbers in steps of 5: 20 bars of 5 images each.
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([5] * 20)
    assert points.lines[0].get_xdata().tolist() == [5 * k + 2 for k in range(20)]
    assert points.lines[0].get_ydata().tolist() == [0] * 10 + [100] * 10
    assert points.get_xlabel().endswith("in steps of 5")


def test_one_number_of_units_is_one_bar():
    bars, points = decision_pictures.units_and_accuracy(evaluation_of([2, 2], [1, 0], 3), "red").axes
    assert [bar.get_height() for bar in bars.patches] == [100]
    assert points.lines[0].get_ydata().tolist() == [50]
