"""The section that lays the exits of several networks over one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.report import exits_pictures, formatting, style
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.plane import against_macs, in_millions
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Picture, Section


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
        look = {"color": colour, "linewidth": 1.8, "label": name, **exits_pictures.points(marker, len(values[0]))}
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
