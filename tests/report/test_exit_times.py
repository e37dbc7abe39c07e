"""The picture of accuracy against milliseconds."""

import pytest

from keras_dynamic.report import style
from keras_dynamic.report.curve_pictures import exits_against_milliseconds


def test_exits_and_budgets_are_drawn():
    budgets = [{"ms": 1.4, "accuracy": 0.68}, {"ms": 1.1, "accuracy": 0.62}]
    figure = exits_against_milliseconds(
        {"exit_static_ms": [1.0, 1.5, 2.0], "accuracies": [0.6, 0.65, 0.7], "budgets": budgets}
    )
    exits, budgeted = (line.get_xydata().ravel() for line in figure.axes[0].lines[:2])
    assert exits == pytest.approx([1.0, 60, 1.5, 65, 2.0, 70])
    assert budgeted == pytest.approx([1.1, 62, 1.4, 68])  # in rising order of time
    assert {"single exits", "under budgets"} <= {text.get_text() for text in figure.axes[0].texts}
    assert style.png(figure).startswith(b"\x89PNG")
