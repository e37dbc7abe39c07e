"""Points, bars and lines that stand for the right exits."""

import numpy as np
import pytest

from keras_dynamic.report import exits

SYSTEM = {
    "accuracy": 0.71,
    "macs_mean": 6e6,
    "accuracy_static_twin": 0.69,
    "exits": [
        {
            "exit": "exit1",
            "accuracy": 0.62,
            "macs": 3_000_000,
            "calibration_error": 0.04,
            "calibration": [[0.3, 0.35, 0.5], [0.9, 0.88, 0.5]],
        },
        {
            "exit": "head",
            "accuracy": 0.7,
            "macs": 10_000_000,
            "calibration_error": 0.1,
            "calibration": [[0.5, 0.4, 0.25], [0.95, 0.8, 0.75]],
        },
    ],
    "exit_ranks": [{"exits": ["exit1", "head"], "rank_correlation": 0.81}],
    "budgeted": [
        {"p": 0.5, "accuracy": 0.66, "macs_mean": 4e6, "stops": [0.86, 0.14]},
        {"p": 1.0, "accuracy": 0.71, "macs_mean": 6.5e6, "stops": [0.5, 0.5]},
    ],
    "budgets": [
        {"budget": 5e6, "macs_mean": 5.1e6, "kept": 1.02, "accuracy": 0.68, "stops": [0.7, 0.3]},
        {"budget": 9e6, "macs_mean": 8.64e6, "kept": 0.96, "accuracy": 0.705, "stops": [0.04, 0.96]},
    ],
    "exit_history": {"epochs": [1, 2, 3], "accuracies": {"exit1": [0.3, 0.5, 0.6], "head": [0.2, 0.6, 0.7]}},
    "gradient_variances": {"plain": [8.0, 1.0], "equilibrium": [2.0, 1.0]},
}
COLOUR = "#0072b2"


def test_exits_and_budgets_beside_the_lines(report):
    report["systems"] = {"imta": SYSTEM}
    (axes,) = exits.exits_against_macs(report, "imta").axes
    dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(dashed.get_xydata(), [[3, 62], [10, 70]])
    curve = next(line for line in axes.lines if line.get_color() == COLOUR and len(line.get_xdata()) == 2)
    np.testing.assert_allclose(curve.get_xydata(), [[4, 66], [6.5, 71]])
    texts = {text.get_text() for text in axes.texts}
    assert {"single exits", "under budgets", "imta", "cascade frontier", "resnet20"} <= texts


def test_a_bar_for_each_budget_and_a_part_for_each_exit():
    (axes,) = exits.stops_under_budgets(SYSTEM["budgets"], ["exit1", "head"], COLOUR).axes
    parts = [(bar.get_x(), bar.get_width(), bar.get_alpha()) for bar in axes.patches]
    pale = exits.strengths(2)[0]
    np.testing.assert_allclose(parts, [(0, 70, pale), (0, 4, pale), (70, 30, 1), (4, 96, 1)])
    assert [text.get_text() for text in axes.texts] == ["70", "30", "96"]  # 4 has no room
    assert [label.get_text() for label in axes.get_yticklabels()] == ["5.0 M", "9.0 M"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the smallest on top
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["exit1", "head"]


def test_a_line_over_the_training_for_each_exit():
    (axes,) = exits.over_training(SYSTEM["exit_history"], COLOUR).axes
    first, last = axes.lines
    np.testing.assert_allclose(first.get_xydata(), [[1, 30], [2, 50], [3, 60]])
    np.testing.assert_allclose(last.get_xydata(), [[1, 20], [2, 60], [3, 70]])
    assert (first.get_label(), last.get_label(), last.get_marker()) == ("exit1", "head", "o")
    assert first.get_alpha() < last.get_alpha() == 1.0
    long = {"epochs": list(range(1, 301)), "accuracies": {"head": [0.5] * 300}}
    (axes,) = exits.over_training(long, COLOUR).axes
    assert axes.lines[0].get_marker() == ""


def test_a_bar_for_each_pair_of_neighbours():
    ranks = [*SYSTEM["exit_ranks"], {"exits": ["head", "x"], "rank_correlation": -0.1}]
    (axes,) = exits.rank_correlations(ranks, COLOUR).axes
    assert [bar.get_height() for bar in axes.patches] == [0.81, -0.1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 and 2", "2 and 3"]
    assert axes.get_ylim()[0] == pytest.approx(-0.1)


def test_a_line_for_each_exit():
    (axes,) = exits.reliability(SYSTEM["exits"], COLOUR).axes
    diagonal, first, last = axes.lines
    np.testing.assert_allclose(diagonal.get_xydata(), [[0, 0], [100, 100]])
    np.testing.assert_allclose(first.get_xydata(), [[30, 35], [90, 88]])
    assert first.get_alpha() < last.get_alpha() == 1.0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["exit1 0.040", "head 0.100"]


def test_two_bars_for_each_block():
    (axes,) = exits.variances(SYSTEM["gradient_variances"], COLOUR).axes
    assert [bar.get_height() for bar in axes.patches] == [8, 1, 2, 1]
    assert axes.get_yscale() == "log"
