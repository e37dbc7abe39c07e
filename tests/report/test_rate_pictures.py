"""Bars and shades that stand for the right decisions."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures

COLOUR = "#0072b2"


def test_a_bar_for_every_five_percent():
    rates = {"a": 0.0, "b": 0.02, "c": 0.52, "d": 0.54, "e": 0.96, "f": 1.0}
    (axes,) = decision_pictures.rates_histogram(rates, COLOUR).axes
    frozen, others = axes.patches[:20], axes.patches[20:]
    assert {k: bar.get_height() for k, bar in enumerate(frozen) if bar.get_height()} == {0: 1, 19: 1}
    assert {k: bar.get_height() for k, bar in enumerate(others) if bar.get_height()} == {0: 1, 10: 2, 19: 1}
    assert [others[k].get_y() for k in (0, 10, 19)] == [1, 0, 1]  # stacked
    assert [frozen[k].get_x() + frozen[k].get_width() / 2 for k in (0, 19)] == pytest.approx([2.5, 97.5])
    assert [text.get_text() for text in axes.texts] == ["2", "2", "2"]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["the same for all images", "differs between images"]


def history(names, epochs=3, first=1):
    values = np.linspace(1, 0, epochs)
    return {
        "epochs": list(range(first, first + epochs)),
        "rates": {name: list(values**k) for k, name in enumerate(names)},
    }


def test_the_mean_and_a_row_for_each_decision():
    line, plane = decision_pictures.rates_over_training(history(["unit1", "unit2", "unit3"], first=4), COLOUR).axes
    (drawn,) = line.lines
    np.testing.assert_allclose(drawn.get_xydata(), [[4, 100], [5, 100 * (1 + 0.5 + 0.25) / 3], [6, 100 / 3]])
    (image,) = plane.images
    np.testing.assert_allclose(image.get_array(), [[100, 100, 100], [100, 50, 0], [100, 25, 0]])
    assert image.get_extent() == [3.5, 6.5, 2.5, -0.5]
    assert [label.get_text() for label in plane.get_yticklabels()] == ["unit1", "unit2", "unit3"]
    assert [text.get_text() for text in plane.get_legend().get_texts()] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


def test_channel_groups_are_named_by_their_unit():
    names = ["unit1[1]", "unit1[2]", "unit1[3]", "unit2[1]", "unit3"]
    _, plane = decision_pictures.rates_over_training(history(names), COLOUR).axes
    assert [label.get_text() for label in plane.get_yticklabels()] == ["unit1", "unit2", "unit3"]
    assert plane.get_yticks() == pytest.approx([1, 3, 4])
    (between,) = plane.collections
    assert [segment[0][1] for segment in between.get_segments()] == [2.5, 3.5]


@pytest.mark.parametrize("units", [54, 300])
def test_many_rows_are_not_all_named(units):
    figure = decision_pictures.rates_over_training(history([f"unit{k}" for k in range(units)]), COLOUR)
    assert len(figure.axes[1].get_yticks()) <= 32
    assert figure.get_size_inches()[1] < 10
