"""Bars and shades that stand for the right decisions."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures

COLOUR = "#0072b2"


def history(names, epochs=3, first=1):
    values = np.linspace(1, 0, epochs)
    return {
        "epochs": list(range(first, first + epochs)),
        "rates": {name: list(values**k) for k, name in enumerate(names)},
    }


def test_a_row_for_each_decision():
    axes = decision_pictures.rates_over_training(history(["unit1", "unit2", "unit3"], first=4), COLOUR).axes[0]
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), [[100, 100, 100], [100, 50, 0], [100, 25, 0]])
    assert image.get_extent() == [3.5, 6.5, 2.5, -0.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["unit1", "unit2", "unit3"]


@pytest.mark.parametrize("units", [54, 300])
def test_many_rows_are_not_all_named(units):
    figure = decision_pictures.rates_over_training(history([f"unit{k}" for k in range(units)]), COLOUR)
    assert len(figure.axes[0].get_yticks()) <= 32
    assert figure.get_size_inches()[1] < 10
