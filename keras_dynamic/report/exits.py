"""The exits of a network: its section, and several networks over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import formatting, style
from keras_dynamic.report.curve_pictures import exits_against_macs
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Picture, Section, Table, Text, table_of


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
    exits = history["accuracies"]
    strengths = np.linspace(0.25, 1.0, len(exits)) if len(exits) > 1 else np.ones(1)
    marker = "o" if len(history["epochs"]) <= 20 else ""
    for (name, accuracies), strength in zip(exits.items(), strengths, strict=True):
        look = {"color": colour, "alpha": strength, "linewidth": 1.8, "marker": marker, "markersize": 4}
        axes.plot(history["epochs"], 100 * np.array(accuracies), label=name, **look)
    axes.xaxis.get_major_locator().set_params(integer=True)
    columns = len(exits) if len(exits) <= 5 else -(-len(exits) // 2)
    style.legend_above(axes, columns, handlelength=1.0, handletextpad=0.5, columnspacing=1.0)
    style.label_axes(axes, "Epochs trained", "Accuracy, %")
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
        blocks: list[Block] = [Text(_sentences(system), listed=True), _curves(report, f"exits_{name}", [name])]
        if system.get("exit_history", {}).get("epochs"):
            blocks.append(_training(name, system["exit_history"], style.look_of(list(report["systems"]))[name][0]))
        blocks.append(_exits(system))
        costs = {"accuracy": "accuracy", "MACs, mean": "macs_mean", **_stops(system)}
        if system.get("budgets"):
            columns = {"budget": "budget", "spent": "kept", **costs}
            caption = "Thresholds set for a budget on held-out images, what the test images spend, where they stop"
            blocks.append(table_of(system["budgets"], columns, caption))
        if system.get("limits"):
            columns = {"limit": lambda row: formatting.millions(row["limit"]), "MACs, most": "macs_max", **costs}
            blocks.append(table_of(system["limits"], columns, "MACs that no image exceeds, and where the images stop"))
        if system.get("budgeted"):
            columns = {"": lambda row: f"p {row['p']:g}", **costs}
            blocks.append(table_of(system["budgeted"], columns, "Quotas p^k at exit k, and where the images stop"))
        return blocks

    return Section(f"{formatting.title_of(name)}: exits", render)


def exits_comparison() -> Section:
    """The exits of all systems of a report that have some, over one another.

    Returns:
        The section; empty where fewer than two systems have exits.

    Source:
        IMTA (Li et al. 2019), figures 2 and 3.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        names = [name for name, system in report["systems"].items() if system.get("exits")]
        return [_curves(report, "exits_compared", names)] if len(names) > 1 else []

    return Section("Exits, side by side", render)


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


def _exits(system: Mapping[str, Any]) -> Table:
    next_rank = {row["exits"][0]: row["rank_correlation"] for row in system.get("exit_ranks", [])}
    columns: dict[str, Any] = {
        "": lambda row: row["exit"],
        "accuracy": "accuracy",
        "MACs": "macs",
        "expected calibration error": "calibration_error",
    }
    if next_rank:  # of the confidences of the images
        columns["rank correlation with the next"] = lambda row: formatting.show(
            "rank_correlation", next_rank.get(row["exit"])
        )
    return table_of(system["exits"], columns, "Each exit, if all images stop there")


def _stops(system: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with the share of the images that stop at each exit."""
    return {
        f"at {row['exit']}": lambda budget, k=k: formatting.percent(budget["stops"][k], 0)
        for k, row in enumerate(system["exits"])
    }


def _curves(report: Mapping[str, Any], picture: str, names: Sequence[str]) -> Picture:
    words = "; ".join(
        f"{name}, {formatting.percent(row['accuracy'])} at {formatting.millions(row['macs_mean'])}"
        for name in names
        for row in report["systems"][name].get("budgeted", [])
    )
    caption = (
        "Accuracy (Keras, float32) against mean MACs. Dashed: all images stop at the same exit. Solid: an image stops "
        "where its confidence reaches a threshold; those are fitted on held-out images. Dotted: no image exceeds so "
        "many MACs."
    )
    alternative = f"Accuracy under budgets: {words or 'not measured'}."
    return Picture(picture, exits_against_macs(report, names), caption, alternative, wide=True)


def _training(name: str, history: Mapping[str, Any], colour: str) -> Picture:
    words = ", ".join(
        f"{exit_} {formatting.percent(values[0], 1)} to {formatting.percent(values[-1], 1)}"
        for exit_, values in history["accuracies"].items()
    )
    caption = "Accuracy of each exit on held-out images after each epoch of the training."
    alternative = f"Accuracy of exits, first to last epoch: {words}."
    return Picture(f"exit_history_{name}", over_training(history, colour), caption, alternative)
