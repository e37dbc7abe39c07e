"""The exits of a network: pictures, their section, and several networks over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import formatting, style
from keras_dynamic.report.curve_pictures import against_macs, in_millions
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Folded, Picture, Section, Table, Text

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
                position = {"ha": "center", "va": "center", "fontsize": style.FONT_SIZE - 2, "color": ink}
                axes.text(left + share / 2, row, f"{share:.0f}", **position)
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
    for position, value in enumerate(values):
        axes.text(
            position,
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
    axes.set_xticks(places, [str(position + 1) for position in places])
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right", frameon=False, fontsize=style.FONT_SIZE - 1, labelcolor=style.MUTED)
    style.label_axes(axes, "Block", "Variance of the gradient")
    return figure


def exits_section(name: str) -> Section:
    """What each exit of one system is worth, how they agree, and what they give together under budgets.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no exits. What it did not measure besides is left out.

    Source:
        IMTA (Li et al. 2019), table 1, figures 2, 3, 6 and 7, equations 3 and 6.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        if not system.get("exits"):
            return []
        colour = style.look_of(list(report["systems"]))[name][0]
        blocks: list[Block] = [Text(_sentences(system), listed=True), _table(system)]
        if system.get("budgeted"):
            blocks.append(_curve(report, name))
        if system.get("budgets"):
            blocks += [_kept(system["budgets"]), _stops(name, system, colour)]
        if system.get("exit_history", {}).get("epochs"):
            blocks.append(_over_training(name, system["exit_history"], colour))
        blocks.append(_calibration(name, system["exits"], colour))
        if system.get("exit_ranks"):
            blocks.append(_ranks(name, system["exit_ranks"], colour))
        if system.get("gradient_variances"):
            blocks.append(_variances(name, system["gradient_variances"], colour))
        if system.get("budgeted"):
            blocks.append(Folded("Quota by quota", [_quotas(system)]))
        return blocks

    return Section(f"{formatting.title_of(name)}: exits", render)


def _sentences(system: Mapping[str, Any]) -> list[str]:
    exits = system["exits"]
    mean = sum(row["accuracy"] for row in exits) / len(exits)
    sentences = [
        f"{len(exits)} exits, {formatting.percent(mean)} right on average over them; the last "
        f"{formatting.percent(exits[-1]['accuracy'])} at {formatting.millions(exits[-1]['macs'])} MACs."
    ]
    equal = [row for row in system.get("budgeted", []) if row["accuracy"] >= exits[-1]["accuracy"]]
    if equal:
        row = min(equal, key=lambda each: each["macs_mean"])
        share = formatting.percent(row["macs_mean"] / exits[-1]["macs"], 0)
        sentences.append(
            f"Images that stop where the network is sure reach the last exit's accuracy at "
            f"{formatting.millions(row['macs_mean'])} MACs on average, {share} of its cost."
        )
    if system.get("budgets"):
        error = max(abs(row["kept"] - 1) for row in system["budgets"])
        sentences.append(
            f"Budgets that were set on held-out images are kept to within {formatting.percent(error, 1)} on the test "
            "images."
        )
    found = system.get("gradient_variances")
    if found and found["equilibrium"][-1] and found["plain"][-1]:
        spread = {key: values[0] / values[-1] for key, values in found.items()}
        sentences.append(
            f"The gradient of the first block varies {spread['plain']:.3g} times as much as that of the last; under "
            f"gradient equilibrium {spread['equilibrium']:.3g} times."
        )
    return sentences


def _table(system: Mapping[str, Any]) -> Table:
    rows = [
        [
            row["exit"],
            formatting.percent(row["accuracy"]),
            formatting.millions(row["macs"]),
            f"{row['calibration_error']:.3f}",
        ]
        for row in system["exits"]
    ]
    return Table(["", "accuracy", "MACs", "expected calibration error"], rows, "Each exit, if all images stop there")


def _curve(report: Mapping[str, Any], name: str) -> Picture:
    rows = report["systems"][name]["budgeted"]
    words = "; ".join(
        f"{formatting.percent(row['accuracy'])} at {formatting.millions(row['macs_mean'])}" for row in rows
    )
    caption = (
        "Accuracy (Keras, float32) against mean MACs. Dashed: all images stop at the same exit. Solid: an image stops "
        "where its confidence reaches a threshold; those are fitted on held-out images, quotas p^k at exit k."
    )
    figure = exits_against_macs(report, name)
    return Picture(f"exits_{name}", figure, caption, f"Accuracy under budgets: {words}.", wide=True)


def _kept(budgets: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            formatting.millions(row["budget"]),
            formatting.millions(row["macs_mean"]),
            formatting.percent(row["kept"], 1),
            formatting.percent(row["accuracy"]),
        ]
        for row in budgets
    ]
    header = ["budget", "MACs, mean", "of the budget", "accuracy"]
    return Table(header, rows, "Thresholds set for a budget on held-out images, and what the test images spend")


def _stops(name: str, system: Mapping[str, Any], colour: str) -> Picture:
    names = [row["exit"] for row in system["exits"]]
    words = "; ".join(
        f"{formatting.millions(row['budget'])}: "
        + ", ".join(f"{exit_} {formatting.percent(share, 0)}" for exit_, share in zip(names, row["stops"], strict=True))
        for row in system["budgets"]
    )
    caption = "Which exits the images stop at under each budget, in per cent of the test images."
    figure = stops_under_budgets(system["budgets"], names, colour)
    return Picture(f"stops_{name}", figure, caption, f"Images that stop at each exit, by budget: {words}.")


def _over_training(name: str, history: Mapping[str, Any], colour: str) -> Picture:
    words = ", ".join(
        f"{exit_} {formatting.percent(values[0], 1)} to {formatting.percent(values[-1], 1)}"
        for exit_, values in history["accuracies"].items()
    )
    figure = over_training(history, colour)
    caption = "Accuracy of each exit on held-out images after each epoch of the training."
    return Picture(f"exit_history_{name}", figure, caption, f"Accuracy of exits, first to last epoch: {words}.")


def _calibration(name: str, exits: Sequence[Mapping[str, Any]], colour: str) -> Picture:
    words = ", ".join(f"{row['exit']} {row['calibration_error']:.3f}" for row in exits)
    caption = "How often an exit is right against how sure it is, over 15 bins; under the grey line it is too sure."
    figure = reliability(exits, colour)
    return Picture(f"calibration_{name}", figure, caption, f"Expected calibration error: {words}.")


def _ranks(name: str, ranks: Sequence[Mapping[str, Any]], colour: str) -> Picture:
    words = ", ".join(
        f"{' and '.join(row['exits'])} {formatting.correlation(row['rank_correlation'])}" for row in ranks
    )
    caption = "Whether neighbouring exits are sure of the same images; 1 is the same order."
    figure = rank_correlations(ranks, colour)
    return Picture(f"exit_ranks_{name}", figure, caption, f"Rank correlation of confidences: {words}.")


def _variances(name: str, found: Mapping[str, Sequence[float]], colour: str) -> Picture:
    words = ", ".join(
        f"block {k} {plain:.3g} and {equal:.3g}"
        for k, (plain, equal) in enumerate(zip(found["plain"], found["equilibrium"], strict=True), 1)
    )
    caption = (
        "Total variance over batches of training images of the gradient by each block's kernels, trained network; a "
        "block is the units before an exit."
    )
    figure = variances(found, colour)
    return Picture(f"variances_{name}", figure, caption, f"Variance, plain and under equilibrium: {words}.")


def _quotas(system: Mapping[str, Any]) -> Table:
    names = [row["exit"] for row in system["exits"]]
    rows = [
        [
            f"p {row['p']:g}",
            formatting.percent(row["accuracy"]),
            formatting.millions(row["macs_mean"]),
            *(formatting.percent(share, 0) for share in row["stops"]),
        ]
        for row in system["budgeted"]
    ]
    return Table(["", "accuracy", "MACs, mean", *names], rows, "Under each exit: share of the images that stop there")


def exits_comparison() -> Section:
    """Single exits, budgets and trainings of the systems of a report that have exits.

    Returns:
        The section; empty where fewer than two systems have exits. What fewer than two measured is left out.

    Source:
        IMTA (Li et al. 2019), figures 2, 3 and 6.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        blocks: list[Block] = []
        for part, cost, caption in (
            ("exits", "macs", "All images stop at the same exit: accuracy of each against its MACs."),
            ("budgeted", "macs_mean", "Images stop where they are confident enough: accuracy under budgets."),
        ):
            names = _with(report, part)
            if len(names) > 1:
                figure = curves(report, names, part, cost)
                words = "; ".join(f"{name} {_best(report['systems'][name][part])}" for name in names)
                blocks.append(Picture(f"{part}_compared", figure, caption, f"Most accurate point: {words}."))
        names = [name for name in _with(report, "exit_history") if report["systems"][name]["exit_history"]["epochs"]]
        if len(names) > 1:
            last = {
                name: list(report["systems"][name]["exit_history"]["accuracies"].values())[-1][-1] for name in names
            }
            words = ", ".join(f"{name} {formatting.percent(value)}" for name, value in last.items())
            caption = "Accuracy on held-out images after each epoch of the trainings."
            figure = trainings(report, names)
            blocks.append(Picture("exit_history_compared", figure, caption, f"Last exit, last epoch: {words}."))
        return blocks

    return Section("Exits, side by side", render)


def curves(report: Mapping[str, Any], names: list[str], part: str, cost: str) -> style.Figure:
    """Draws a curve of accuracy against MACs for each of several networks.

    Args:
        report: The content of report.json.
        names: Systems of it.
        part: 'exits' or 'budgeted', which each of them has.
        cost: The key of its rows that has the MACs.

    Returns:
        The figure, with the lines of the plain networks and their cascades.
    """
    plane = against_macs(report)
    looks = style.look_of(list(report["systems"]))
    for name in names:
        rows = report["systems"][name][part]
        points = sorted(in_millions(Point(row[cost], row["accuracy"])) for row in rows)
        plane.curve(name, points, looks[name][0], marker=looks[name][1] if part == "exits" else "")
    return plane.finish()


def trainings(report: Mapping[str, Any], names: list[str]) -> style.Figure:
    """Draws how accurate several networks were in their trainings: the mean over the exits, and the last exit.

    Args:
        report: The content of report.json.
        names: Systems of it with an exit_history of at least one epoch.

    Returns:
        The figure: two panels, a line for each network.

    Source:
        IMTA, figure 6.
    """
    figure, panels = style.new_figure(5.2, rows=2)
    looks = style.look_of(list(report["systems"]))
    for name in names:
        history = report["systems"][name]["exit_history"]
        values = 100 * np.array(list(history["accuracies"].values()))
        colour, marker = looks[name]
        look = {"color": colour, "linewidth": 1.8, "label": name, **points(marker, len(values[0]))}
        for axes, line in zip(panels, (values.mean(axis=0), values[-1]), strict=True):
            axes.plot(history["epochs"], line, **look)
    for axes, title in zip(panels, ("Accuracy, mean over the exits, %", "Accuracy of the last exit, %"), strict=True):
        axes.xaxis.get_major_locator().set_params(integer=True)
        style.label_axes(axes, "Epochs trained" if axes is panels[-1] else "", title)
    panels[0].legend(loc="lower right", frameon=False, fontsize=style.FONT_SIZE - 1, labelcolor=style.MUTED)
    return figure


def _with(report: Mapping[str, Any], part: str) -> list[str]:
    """The systems that measured something."""
    return [name for name, system in report["systems"].items() if system.get(part)]


def _best(rows: list[Mapping[str, Any]]) -> str:
    return formatting.percent(max(row["accuracy"] for row in rows))
