"""Which images are shown."""

import numpy as np
import pytest

from keras_dynamic.report import analysis, decision_pictures


def test_extremes_by_cost():
    macs = np.array([5, 1, 9, 3, 7])
    labels = np.zeros(5, int)
    assert decision_pictures.extremes(macs, labels, 2, longest=False).tolist() == [1, 3]
    assert decision_pictures.extremes(macs, labels, 3, longest=True).tolist() == [2, 4, 0]


def test_among_equal_costs_every_class_has_its_turn():
    macs = np.array([1, 1, 1, 1, 1, 0])
    labels = np.array([0, 0, 0, 1, 2, 0])
    # The cheapest first, then the first of each class in the data's order, then the second ones.
    assert decision_pictures.extremes(macs, labels, 6, longest=False).tolist() == [5, 0, 3, 4, 1, 2]


def test_fewer_images_than_places(evaluations):
    few = evaluations["gated"]
    few = few._replace(**{field: getattr(few, field)[:3] for field in ("images", "labels", "predictions", "macs")})
    figure = decision_pictures.shortest_and_longest(few)
    assert len(figure.axes) == 6


def test_every_image_shows_its_class_its_cost_and_a_wrong_answer(evaluations):
    evaluation = evaluations["gated"]
    figure = decision_pictures.shortest_and_longest(evaluation)
    assert len(figure.axes) == 16
    chosen = decision_pictures.extremes(evaluation.macs, evaluation.labels, 8, longest=False)
    for axes, index in zip(figure.axes[:8], chosen, strict=True):
        label, prediction = evaluation.labels[index], evaluation.predictions[index]
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == f"{evaluation.class_names[label]}, {evaluation.macs[index] / 1e6:.1f} M"
        assert texts[1:] == ([] if label == prediction else [f"taken for {evaluation.class_names[prediction]}"])
        np.testing.assert_array_equal(axes.images[0].get_array(), evaluation.images[index])


def test_frequent_paths_are_strips_of_units_with_their_first_images(evaluations):
    evaluation = evaluations["cascade"]
    figure = decision_pictures.frequent_paths(evaluation, 2, "#0072b2")
    paths = analysis.dominant_paths(evaluation, 2)
    images = [evaluation.images[index] for path in paths for index in path.images[:7]]
    np.testing.assert_array_equal([axes.images[0].get_array() for axes in figure.axes if axes.images], images)
    right = (evaluation.predictions == evaluation.labels)[np.concatenate([path.images[:7] for path in paths])]
    assert [not axes.patches for axes in figure.axes if axes.images] == right.tolist()
    strips = [axes for axes in figure.axes if not axes.images]
    for path, strip in zip(paths, strips, strict=True):
        filled = [bar.get_facecolor()[2] == pytest.approx(0xB2 / 255) for bar in strip.patches]
        assert filled == path.runs.tolist()
    share = f"{paths[0].share:.0%}".replace("%", " %")
    assert figure.texts[0].get_text().split(", ")[1] == f"{share} of the images"
