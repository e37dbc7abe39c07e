"""Bars and points that stand for the right units."""

import numpy as np
import pytest

from keras_dynamic.report import training_sections
from tests.report.test_gradients import SYSTEM


def drawn(system):
    (axes,) = training_sections.gradients_and_rates(training_sections.stages_of(system), "#0072b2").axes
    return axes


def test_a_bar_and_a_point_for_each_unit():
    axes = drawn(SYSTEM)
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([1, 0.25, 0.5, 0.75])
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx([0, 1, 3, 4])
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    found = [line.get_xydata().tolist() for line in lines if line.get_color() == "#0072b2"]
    assert found == [[[0, 0.9], [1, 0.2]], [[3, 0.1], [4, 1.0]]]


def test_units_that_always_run_are_hollow():
    points = [line for line in drawn(SYSTEM).lines if line.get_marker() == "o"]
    hollow = [line for line in points if line.get_markerfacecolor() == "white"]
    np.testing.assert_allclose(np.concatenate([line.get_xydata() for line in hollow]), [[4, 1.0]])
    full = [line for line in points if line.get_markerfacecolor() == "#0072b2"]
    np.testing.assert_allclose(np.concatenate([line.get_xydata() for line in full]), [[0, 0.9], [1, 0.2], [3, 0.1]])


def test_the_axes_fill_the_width():
    names = SYSTEM["gradient_magnitudes"]
    axes = drawn({**SYSTEM, "activation_rates": dict.fromkeys(names, 0.5)})
    axes.figure.draw_without_rendering()
    place = axes.get_position()
    assert place.x0 < 0.12
    assert place.x1 > 0.97


def test_stages_are_named_and_apart():
    axes = drawn(SYSTEM)
    assert [text.get_text() for text in axes.texts] == ["stage 1", "stage 2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "1", "2"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "Gradient, largest = 1",
        "Share of images that run it",
    ]


def test_of_many_units_some_are_numbered():
    names = [f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in range(1, 19)]
    axes = drawn({"gradient_magnitudes": dict.fromkeys(names, 1.0), "activation_rates": dict.fromkeys(names, 0.5)})
    assert len(axes.patches) == 54
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4", "7", "10", "13", "16"] * 3
