"""Points, bars and lines that stand for the right exits."""

import numpy as np

from keras_dynamic.report import exits
from keras_dynamic.report.curve_pictures import exits_against_macs

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
        },
        {
            "exit": "head",
            "accuracy": 0.7,
            "macs": 10_000_000,
            "calibration_error": 0.1,
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
LIMITS = [
    {"limit": 4e6, "macs_mean": 2.9e6, "macs_max": 3_000_000, "accuracy": 0.62, "over": 0.0, "stops": [1.0, 0.0]},
    {"limit": 9e6, "macs_mean": 6e6, "macs_max": 8_900_000, "accuracy": 0.69, "over": 0.0, "stops": [0.4, 0.6]},
]
COLOUR = "#0072b2"


def test_exits_and_budgets_beside_the_lines(report):
    report["systems"] = {"imta": SYSTEM}
    (axes,) = exits_against_macs(report, ["imta"]).axes
    dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(dashed.get_xydata(), [[3, 62], [10, 70]])
    curve = next(
        line
        for line in axes.lines
        if line.get_color() == COLOUR and line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    )
    np.testing.assert_allclose(curve.get_xydata(), [[4, 66], [6.5, 71]])
    texts = {text.get_text() for text in axes.texts}
    assert {"single exits", "under budgets", "imta", "cascade frontier", "resnet20"} <= texts


def test_accuracy_under_limits_stands_at_the_limit(report):
    report["systems"] = {"ddi": {**SYSTEM, "limits": LIMITS}}
    (axes,) = exits_against_macs(report, ["ddi"]).axes
    dotted = next(line for line in axes.lines if line.get_linestyle() == ":" and line.get_color() == COLOUR)
    np.testing.assert_allclose(dotted.get_xydata(), [[4, 62], [9, 69]])
    assert "under limits" in {text.get_text() for text in axes.texts}


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
