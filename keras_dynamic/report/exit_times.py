"""Accuracy against measured milliseconds: a network with exits under budgets, beside its exits as static models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_dynamic.report import style
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.plane import Plane


def exits_against_milliseconds(figures: Mapping[str, Any]) -> style.Figure:
    """Draws what a .tflite gives under budgets of time.

    Args:
        figures: of one precision, as jobs.exit_latency has them: accuracies and exit_static_ms of the static models,
            and budgets, rows with ms and accuracy.

    Returns:
        The figure: single exits dashed, budgets solid.

    Source:
        IMTA, figure 5.
    """
    plane = Plane("Time per image, mean, milliseconds", "Accuracy, %")
    alone = zip(figures["exit_static_ms"], figures["accuracies"], strict=True)
    plane.curve("single exits", [Point(ms, 100 * accuracy) for ms, accuracy in alone], style.INK, "--", "o")
    rows = sorted(Point(row["ms"], 100 * row["accuracy"]) for row in figures["budgets"])
    plane.curve("under budgets", rows, style.STATIC, marker="o")
    return plane.finish()
