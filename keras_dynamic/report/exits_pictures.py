"""The exits of one network: accuracy against MACs, who stops where, confidences, calibration, gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import formatting, style
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.plane import against_macs, in_millions

_LIGHTEST, _NAMED = 0.25, 0.06  # colour of the first exit, the last has 1; share of the images that is told in numbers
_MOST_BESIDE, _MOST_POINTS = 5, 20  # names in a row; epochs that are told apart


def strengths(exits: int) -> np.ndarray:
    """How strong the colour of each exit is.

    Args:
        exits: How many there are.

    Returns:
        From pale to 1, the last exit.
    """
    return np.linspace(_LIGHTEST, 1.0, exits) if exits > 1 else np.ones(exits)


def exits_against_macs(report: Mapping[str, Any], name: str) -> style.Figure:
    """Draws each exit of a network, and the network under budgets, beside the lines to beat.

    Args:
        report: The content of report.json.
        name: A system of it with exits and budgeted.

    Returns:
        The figure: the single exits dashed, the curve of budgets solid, the system's own point.

    Source:
        MSDNet, figure 7; IMTA, figures 2 and 3.
    """
    system, look = report["systems"][name], style.look_of(list(report["systems"]))[name]
    plane = against_macs(report)
    exits = [in_millions(Point(row["macs"], row["accuracy"])) for row in system["exits"]]
    plane.curve("single exits", exits, style.INK, "--", "o")
    budgeted = sorted(in_millions(Point(row["macs_mean"], row["accuracy"])) for row in system["budgeted"])
    plane.curve("under budgets", budgeted, look[0])
    plane.system(name, in_millions(Point(system["macs_mean"], system["accuracy"])), look)
    return plane.finish()


def points(marker: str, epochs: int) -> dict[str, Any]:
    """The look of the points of a line over a training; a long one has none.

    Args:
        marker: As Matplotlib's.
        epochs: How many points there are.

    Returns:
        Keyword arguments of Matplotlib's plot.
    """
    return {"marker": marker if epochs <= _MOST_POINTS else "", "markersize": 4}


def stops_under_budgets(budgets: Sequence[Mapping[str, Any]], exits: Sequence[str], colour: str) -> style.Figure:
    """Draws which share of the images stops at each exit, budget by budget.

    Args:
        budgets: budgets of a system, at least one.
        exits: Names of the exits, in order.
        colour: Colour of the last exit; those before are paler.

    Returns:
        The figure: a bar for each budget, the smallest on top.
    """
    figure, (axes,) = style.new_figure(1.1 + 0.36 * len(budgets))
    rows, done = np.arange(len(budgets)), np.zeros(len(budgets))
    for k, (name, strength) in enumerate(zip(exits, strengths(len(exits)), strict=True)):
        shares = 100 * np.array([row["stops"][k] for row in budgets])
        bar = {"height": 0.7, "color": colour, "alpha": strength, "edgecolor": "white", "label": name}
        axes.barh(rows, shares, left=done, **bar)
        ink = "white" if strength > 0.6 else style.INK
        for row, share, left in zip(rows, shares, done, strict=True):
            if share >= 100 * _NAMED:
                place = {"ha": "center", "va": "center", "fontsize": style.FONT_SIZE - 2, "color": ink}
                axes.text(left + share / 2, row, f"{share:.0f}", **place)
        done += shares
    axes.set_yticks(rows, [formatting.millions(row["budget"]) for row in budgets])
    axes.set_ylim(len(budgets) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    _legend(axes, len(exits))
    style.label_axes(axes, "Images that stop, %", "Budget, MACs")
    return figure


def over_training(history: Mapping[str, Any], colour: str) -> style.Figure:
    """Draws the accuracy of each exit on held-out images after each epoch of a training.

    Args:
        history: exit_history of a system, of at least one epoch.
        colour: Colour of the last exit; those before are paler.

    Returns:
        The figure.

    Source:
        IMTA, figure 6.
    """
    figure, (axes,) = style.new_figure(3.2)
    told = history["accuracies"]
    for (name, accuracies), strength in zip(told.items(), strengths(len(told)), strict=True):
        look = {"color": colour, "alpha": strength, "linewidth": 1.8, **points("o", len(history["epochs"]))}
        axes.plot(history["epochs"], 100 * np.array(accuracies), label=name, **look)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes, len(told))
    style.label_axes(axes, "Epochs trained", "Accuracy, %")
    return figure


def _legend(axes: style.Axes, exits: int) -> None:
    """Names the exits over the right end of the axes."""
    columns = exits if exits <= _MOST_BESIDE else -(-exits // 2)
    small: dict[str, Any] = {
        "fontsize": style.FONT_SIZE - 2,
        "handlelength": 1.0,
        "handletextpad": 0.5,
        "columnspacing": 1.0,
    }
    style.legend_above(axes, columns, **small)


def rank_correlations(ranks: Sequence[Mapping[str, Any]], colour: str) -> style.Figure:
    """Draws how alike neighbouring exits rank the images by confidence.

    Args:
        ranks: exit_ranks of a system, at least one.
        colour: Colour of the bars.

    Returns:
        The figure; 1 is the same order.

    Source:
        IMTA, figure 7.
    """
    figure, (axes,) = style.new_figure(3.0)
    values = [row["rank_correlation"] for row in ranks]
    axes.bar(range(len(values)), values, width=0.7, color=colour)
    for place, value in enumerate(values):
        axes.text(
            place,
            max(value, 0),
            f"{value:.2f}",
            ha="center",
            va="bottom",
            fontsize=style.FONT_SIZE - 1,
            color=style.INK,
        )
    axes.set_xticks(range(len(values)), [f"{k} and {k + 1}" for k in range(1, len(values) + 1)])
    axes.set_ylim(min(0.0, *values, 0.0), 1.12)
    axes.grid(visible=False, axis="x")
    style.label_axes(axes, "Exits", "Rank correlation of confidences")
    return figure


def reliability(exits: Sequence[Mapping[str, Any]], colour: str) -> style.Figure:
    """Draws accuracy against confidence, bin by bin, for each exit.

    Args:
        exits: exits of a system, at least one.
        colour: Colour of the last exit; those before are paler.

    Returns:
        The figure; on the grey line an exit is as often right as it is sure.
    """
    figure, (axes,) = style.new_figure(3.6)
    axes.plot([0, 100], [0, 100], color=style.STATIC, linewidth=1, zorder=1)
    for row, strength in zip(exits, strengths(len(exits)), strict=True):
        bins = 100 * np.array(row["calibration"])
        label = f"{row['exit']} {row['calibration_error']:.3f}"
        axes.plot(bins[:, 0], bins[:, 1], color=colour, alpha=strength, marker="o", markersize=3, label=label)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 104)
    axes.legend(
        loc="upper left",
        frameon=False,
        fontsize=style.FONT_SIZE - 2,
        labelcolor=style.MUTED,
        title="expected calibration error",
        title_fontsize=style.FONT_SIZE - 2,
    )
    style.label_axes(axes, "Confidence, %", "Accuracy, %")
    return figure


def variances(found: Mapping[str, Sequence[float]], colour: str) -> style.Figure:
    """Draws the total variance of each block's gradient, plain and under gradient equilibrium.

    Args:
        found: gradient_variances of a system.
        colour: Colour of the bars with equilibrium.

    Returns:
        The figure, with a logarithmic axis.

    Source:
        IMTA, equations 3 and 6.
    """
    figure, (axes,) = style.new_figure(3.2)
    places = np.arange(len(found["plain"]))
    axes.bar(places - 0.2, found["plain"], width=0.38, color=style.STATIC, alpha=0.6, label="sum of the losses")
    axes.bar(places + 0.2, found["equilibrium"], width=0.38, color=colour, label="gradient equilibrium")
    axes.set_yscale("log")
    positive = [value for values in found.values() for value in values if value > 0]
    if positive:
        axes.set_ylim(bottom=min(positive) / 2)  # the lowest bar is seen too
    axes.set_xticks(places, [str(place + 1) for place in places])
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right", frameon=False, fontsize=style.FONT_SIZE - 1, labelcolor=style.MUTED)
    style.label_axes(axes, "Block", "Variance of the gradient")
    return figure
