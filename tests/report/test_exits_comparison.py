"""The exits of two networks over one another."""

import copy

import numpy as np

from keras_dynamic.report.curve_pictures import exits_against_macs
from keras_dynamic.report.exits import exits_comparison
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
    (axes,) = exits_against_macs(two(report), ["plain", "ge"]).axes
    for colour, dearer in zip(COLOURS, (0, -1), strict=True):
        exits, budgets = (
            line.get_xydata()
            for line in axes.lines
            if line.get_color() == colour and len(line.get_xdata()) == 2 and line.get_linewidth() > 1
        )
        np.testing.assert_allclose(exits, [[3, 62], [10, 70]])
        np.testing.assert_allclose(budgets, [[4 + dearer, 66], [6.5 + dearer, 71]])
    assert {"plain", "ge", "cascade frontier", "resnet20"} <= {text.get_text() for text in axes.texts}


def test_the_section_is_there_for_two(report):
    (picture,) = exits_comparison().render(two(report), {})
    assert picture.name == "exits_compared"
    assert "plain, 71.00 % at 6.5 M; ge, 71.00 % at 5.5 M" in picture.alternative


def test_what_fewer_than_two_measured_is_left_out(report):
    assert exits_comparison().render(report, {}) == []
    assert exits_comparison().render({**report, "systems": {"imta": SYSTEM}}, {}) == []
    some = two(report)
    del some["systems"]["ge"]["budgeted"]
    assert len(exits_comparison().render(some, {})) == 1
