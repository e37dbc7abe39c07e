"""The exits of two networks over one another."""

import copy

import numpy as np

from keras_dynamic.report.exits import curves, exits_comparison, trainings
from tests.report.test_exits_pictures import SYSTEM

COLOURS = ("#0072b2", "#d55e00")


def two(report):
    other = copy.deepcopy(SYSTEM)
    other["budgeted"] = [{**row, "macs_mean": row["macs_mean"] - 1e6} for row in SYSTEM["budgeted"][::-1]]
    other["exit_history"] = {"epochs": [1, 2], "accuracies": {"exit1": [0.4, 0.5], "head": [0.5, 0.75]}}
    return {**report, "systems": {"plain": SYSTEM, "ge": other}}


def of_colour(axes, colour):
    return next(line for line in axes.lines if line.get_color() == colour).get_xydata()


def test_the_curves_of_both_beside_the_lines(report):
    (axes,) = curves(two(report), ["plain", "ge"], "budgeted", "macs_mean").axes
    np.testing.assert_allclose(of_colour(axes, COLOURS[0]), [[4, 66], [6.5, 71]])
    np.testing.assert_allclose(of_colour(axes, COLOURS[1]), [[3, 66], [5.5, 71]])
    assert {"plain", "ge", "cascade frontier", "resnet20"} <= {text.get_text() for text in axes.texts}
    (axes,) = curves(two(report), ["plain", "ge"], "exits", "macs").axes
    np.testing.assert_allclose(of_colour(axes, COLOURS[1]), [[3, 62], [10, 70]])


def test_trainings_of_both(report):
    mean, last = trainings(two(report), ["plain", "ge"]).axes
    np.testing.assert_allclose(of_colour(mean, COLOURS[0]), [[1, 25], [2, 55], [3, 65]])
    np.testing.assert_allclose(of_colour(mean, COLOURS[1]), [[1, 45], [2, 62.5]])
    np.testing.assert_allclose(of_colour(last, COLOURS[1]), [[1, 50], [2, 75]])
    assert [text.get_text() for text in mean.get_legend().get_texts()] == ["plain", "ge"]


def test_the_section_is_there_for_two(report):
    blocks = exits_comparison().render(two(report), {})
    assert [block.name for block in blocks] == ["exits_compared", "budgeted_compared", "exit_history_compared"]
    assert blocks[1].alternative == "Most accurate point: plain 71.00 %; ge 71.00 %."
    assert blocks[2].alternative == "Last exit, last epoch: plain 70.00 %, ge 75.00 %."


def test_what_fewer_than_two_measured_is_left_out(report):
    assert exits_comparison().render(report, {}) == []
    assert exits_comparison().render({**report, "systems": {"imta": SYSTEM}}, {}) == []
    some = two(report)
    some["systems"]["ge"]["exit_history"] = {"epochs": [], "accuracies": {}}
    del some["systems"]["ge"]["budgeted"]
    assert [block.name for block in exits_comparison().render(some, {})] == ["exits_compared"]
