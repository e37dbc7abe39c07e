"""The images of each class, at their places."""

import numpy as np
import pytest

from keras_dynamic.report import analysis, decision_pictures, style


@pytest.fixture
def evaluation(evaluations):
    return evaluations["cascade"]


def shown(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def test_every_class_has_its_paths_and_their_first_images(evaluation):
    figure = decision_pictures.paths_of_classes(evaluation, [0, 3], "#0072b2")
    words, images, frames = [text.get_text() for text in figure.texts], [], []
    for label in (0, 3):
        assert evaluation.class_names[label] in words
        for path in analysis.dominant_paths(evaluation, 3, label):
            images += [evaluation.images[index] for index in path.images[:3]]
            frames += (evaluation.predictions == evaluation.labels)[path.images[:3]].tolist()
    np.testing.assert_array_equal(shown(figure), images)
    assert [not axes.patches for axes in figure.axes if axes.images] == frames
    assert not all(frames)


def test_a_path_is_a_strip_of_units(evaluation):
    evaluation = evaluation._replace(decisions={"first": np.zeros(40), "second": np.ones(40), "third": np.ones(40)})
    figure = decision_pictures.paths_of_classes(evaluation, [0], "#0072b2")
    (strip,) = (axes for axes in figure.axes if not axes.images)
    colours = [bar.get_facecolor() for bar in strip.patches]
    assert colours[0] != colours[1] == colours[2]
    assert "2 units, 100 %, 75 % right" in [text.get_text() for text in figure.texts]


def test_easy_images_stand_left_and_hard_ones_right(evaluation):
    figure = decision_pictures.easy_and_hard(evaluation, [5])
    easy, hard = analysis.easiest_and_hardest(evaluation, 5, 4)
    images = [evaluation.images[index] for index in (*easy, *hard)]
    np.testing.assert_array_equal(shown(figure), images)
    left = [axes.get_position().x0 for axes in figure.axes]
    assert left == sorted(left)
    units = sum(evaluation.decisions.values())
    numbers = [text.get_text() for text in figure.texts][-len(images) :]
    assert numbers == [str(units[index]) for index in (*easy, *hard)]


@pytest.mark.parametrize("draw", [lambda e: decision_pictures.easy_and_hard(e, [0, 1])])
def test_nothing_reaches_over_the_edge(evaluation, draw):
    names = ("man-eating shark of the seas", *evaluation.class_names[1:])
    figure = draw(evaluation._replace(class_names=names))
    figure.draw_without_rendering()
    width = figure.get_size_inches()[0] * figure.dpi
    first_image = min(axes.get_window_extent().x0 for axes in figure.axes)
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        if text.get_text().startswith("man"):
            assert box.x1 < first_image
    assert width == pytest.approx(style.WIDTH * figure.dpi)
