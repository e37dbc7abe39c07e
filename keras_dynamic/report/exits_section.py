"""The section on the exits of one system, for any that measured them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import exits_pictures, formatting, style
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Folded, Picture, Section, Table, Text


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
    figure = exits_pictures.exits_against_macs(report, name)
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
    figure = exits_pictures.stops_under_budgets(system["budgets"], names, colour)
    return Picture(f"stops_{name}", figure, caption, f"Images that stop at each exit, by budget: {words}.")


def _over_training(name: str, history: Mapping[str, Any], colour: str) -> Picture:
    words = ", ".join(
        f"{exit_} {formatting.percent(values[0], 1)} to {formatting.percent(values[-1], 1)}"
        for exit_, values in history["accuracies"].items()
    )
    figure = exits_pictures.over_training(history, colour)
    caption = "Accuracy of each exit on held-out images after each epoch of the training."
    return Picture(f"exit_history_{name}", figure, caption, f"Accuracy of exits, first to last epoch: {words}.")


def _calibration(name: str, exits: Sequence[Mapping[str, Any]], colour: str) -> Picture:
    words = ", ".join(f"{row['exit']} {row['calibration_error']:.3f}" for row in exits)
    caption = "How often an exit is right against how sure it is, over 15 bins; under the grey line it is too sure."
    figure = exits_pictures.reliability(exits, colour)
    return Picture(f"calibration_{name}", figure, caption, f"Expected calibration error: {words}.")


def _ranks(name: str, ranks: Sequence[Mapping[str, Any]], colour: str) -> Picture:
    words = ", ".join(
        f"{' and '.join(row['exits'])} {formatting.correlation(row['rank_correlation'])}" for row in ranks
    )
    caption = "Whether neighbouring exits are sure of the same images; 1 is the same order."
    figure = exits_pictures.rank_correlations(ranks, colour)
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
    figure = exits_pictures.variances(found, colour)
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
