"""Images at their places, in inches."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures, style

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def inches(figure, axes):
    """Left, top, width and height of axes."""
    across, down = figure.get_size_inches()
    left, bottom, width, height = axes.get_position().bounds
    return [left * across, (1 - bottom - height) * down, width * across, height * down]


def test_an_image_stands_where_it_is_put():
    figure = style.empty_figure(5.0)
    axes = decision_pictures.place_photograph(figure, IMAGE, 1.5, 0.25, 0.75)
    assert inches(figure, axes) == pytest.approx([1.5, 0.25, 0.75, 0.75])
    np.testing.assert_array_equal(axes.images[0].get_array(), IMAGE)
    assert not axes.patches


def test_a_wrong_answer_is_framed_and_nothing_else_changes():
    figure = style.empty_figure(2.0)
    axes = decision_pictures.place_photograph(figure, IMAGE, 0, 0, 1.0, wrong=True)
    (frame,) = axes.patches
    assert frame.get_edgecolor()[:3] == pytest.approx([0xB3 / 255, 0x26 / 255, 0x1E / 255])
    assert axes.get_xlim() == (-0.5, 31.5)
    assert axes.get_ylim() == (31.5, -0.5)
