"""Sentences, pictures and tables on hand-made images."""

import numpy as np
import pytest

from keras_dynamic.report import Picture, Table, Text
from keras_dynamic.report.decision_sections import decisions_section
from keras_dynamic.report.schema import PerImage


def evaluation_of(decisions, right, classes=2):
    """Images of classes in turn, of 1 M MACs and one more for each unit."""
    count = len(right)
    labels = np.arange(count) % classes
    macs = 1_000_000 * (1 + sum(decisions.values()))
    images = np.zeros((count, 8, 8, 3), np.uint8)
    answers = np.where(right, labels, (labels + 1) % classes)
    return PerImage(images, labels, answers, macs, decisions, tuple(f"class{k}" for k in range(classes)))


SYSTEM = {"macs_static": 3_000_000}


def blocks_of(evaluation, **system):
    report = {"systems": {"policy": {**SYSTEM, **system}}}
    return decisions_section("policy").render(report, {"policy": evaluation})


@pytest.fixture
def evaluation():
    first = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    second = np.array([1, 0, 1, 0, 1, 0, 0, 1])
    return evaluation_of({"first": first, "second": second}, [False, True, False, True, True, True, True, True])


def test_sentences(evaluation):
    text = blocks_of(evaluation)[0]
    assert text == Text(
        [
            # 2 0 2 0 2 0 1 1
            "Of 2 units that can be skipped, an image runs 1.00 on average, standard deviation 0.87, from 0 to 2.",
            "MACs of an image: mean 2.0 M, standard deviation 0.9 M.",
            "37.5 % of the images take the most frequent of 4 paths.",
            "Images that it answers wrongly run 2.00 units, the others 0.67: 1.33 more, standard error 0.33.",
            # Class 0 runs 7/4, class 1 runs 1/4: variance 9/16 of 6/8.
            "The classes account for 75 % of the variance of units run; the rest lies within classes.",
        ],
        listed=True,
    )


def test_a_guideline_is_compared_with_units_run(evaluation):
    def last(system):
        (text, *_) = blocks_of(evaluation, **system)
        return text.sentences[-1]

    sentence = "The rank correlation between an image's difficulty for the guideline and the units it runs is −0.12"
    assert last({"rank_correlation": -0.123}) == f"{sentence}."
    assert last({"rank_correlation": -0.123, "expected_units_mean": 1.5}) == (
        f"{sentence}; the guideline wants 1.50 units on average, those that always run included."
    )
    assert last({"expected_units_mean": 1.5}).startswith("The classes account for")


def test_pictures_and_classes(evaluation):
    _, macs, paths, extremes, table = blocks_of(evaluation)
    assert [picture.name for picture in (macs, paths, extremes)] == [
        "macs_policy",
        "frequent_paths_policy",
        "paths_policy",
    ]
    assert all(isinstance(picture, Picture) for picture in (macs, paths, extremes))
    assert macs.alternative == "MACs per image, from 1.0 M to 3.0 M."
    assert paths.alternative == "Most frequent paths: 0 units 38 %, 2 units 38 %, 1 units 12 %, 1 units 12 %."
    assert isinstance(table, Table)
    assert table.rows[0] == ["class0", "4", "50.0 %", "1.75", "0.43", "2.8 M"]


def test_of_many_classes_those_at_both_ends_are_shown_and_this_is_said():
    units = np.repeat([[1, 0], [0, 1]], 12, axis=1)
    table = blocks_of(evaluation_of({"first": units[0], "second": units[1]}, np.ones(24, bool), classes=24))[-1]
    assert len(table.rows) == 10
    assert table.caption == "10 of 24 classes: those that run the fewest and the most units."


def test_one_path_for_all_is_one_sentence():
    same = evaluation_of({"first": np.ones(4, int), "second": np.zeros(4, int)}, np.ones(4, bool))
    text, macs = blocks_of(same)
    assert text == Text(["All images run the same 1 of 2 units that can be skipped."], listed=True)
    assert macs.name == "macs_policy"


def test_without_images_or_decisions_there_is_no_section(evaluation):
    section = decisions_section("policy")
    assert section.render({"systems": {"policy": {}}}, {}) == []
    assert blocks_of(evaluation._replace(decisions={})) == []
