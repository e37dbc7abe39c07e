"""The section on the ways to run a trained network, for any system that measured them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import formatting, inference_pictures, style
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Cell, Folded, Picture, Section, Table, Text


def inference_section(name: str) -> Section:
    """What one system gives at other thresholds, with everything on, sampled, and as an ensemble of samples.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no tau_sweep. What it did not measure besides is left out.

    Source:
        Herrmann et al., figures 10 to 12.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        if not system.get("tau_sweep"):
            return []
        ways, sweep = system.get("inference", []), system["tau_sweep"]
        colour = style.look_of(list(report["systems"]))[name][0]
        return [
            Text([_sweep_sentence(sweep), *_sentences(ways)], listed=True),
            _picture(name, system, colour),
            *([_table([_way(row) for row in ways], ways)] if ways else []),
            Folded("Threshold by threshold", [_table([f"tau {row['tau']:g}" for row in sweep], sweep)]),
        ]

    return Section(f"{formatting.title_of(name)}: inference", render)


def _sweep_sentence(sweep: Sequence[Mapping[str, Any]]) -> str:
    first, last = sweep[0], sweep[-1]
    costs, rights = (
        [printer(row[key]) for row in (first, last)]
        for key, printer in (("macs_mean", formatting.millions), ("accuracy", formatting.percent))
    )
    return (
        f"From tau {first['tau']:g} to {last['tau']:g} its mean MACs go from {costs[0]} to {costs[1]} and its accuracy "
        f"from {rights[0]} to {rights[1]}."
    )


def _sentences(ways: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each other way gains over the network's own threshold, and what it costs."""
    own = next((row for row in ways if row["mode"] == "threshold"), None)
    if own is None:
        return []
    sentences = []
    for row in ways:
        if row is own:
            continue
        gain = formatting.points(row["accuracy"] - own["accuracy"])
        cost = f"{row['macs_mean'] / own['macs_mean']:.2f} times the MACs"
        sentences.append(f"{_way(row)}: {gain} against tau {own['tau']:g}, at {cost}.")
    return sentences


def _way(row: Mapping[str, Any]) -> str:
    words = {
        "threshold": "Its own threshold, tau {tau:g}",
        "always_on": "Everything on",
        "stochastic": "Sampled, mean of {runs} runs",
        "ensemble": "{runs} samples together",
    }
    return words[row["mode"]].format(**row) if row["mode"] in words else row["mode"].replace("_", " ")


def _table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = [key for key in ("accuracy", "accuracy_top5", "macs_mean") if any(key in row for row in rows)]
    header = ["", *(formatting.name_of(key) for key in columns)]
    cells: list[list[Cell | str]] = [
        [name, *(_cell(row, key) for key in columns)] for name, row in zip(names, rows, strict=True)
    ]
    spread = any("accuracy_std" in row for row in rows)
    return Table(header, cells, "After ±: standard deviation over the runs" if spread else "")


def _cell(row: Mapping[str, Any], key: str) -> Cell:
    spread = row.get(f"{key}_std")
    if spread is None:
        return Cell(formatting.show(key, row.get(key)))
    printed = formatting.points(spread).lstrip("+") if key.startswith("accuracy") else formatting.millions(spread)
    return Cell(formatting.show(key, row[key]), f"± {printed}")


def _picture(name: str, system: Mapping[str, Any], colour: str) -> Picture:
    caption = "Accuracy (Keras, float32) against mean MACs at each threshold tau on the probability of running."
    if system.get("inference"):
        caption += " Diamond: gates sampled, with the standard deviation over the runs."
    words = "; ".join(
        f"tau {row['tau']:g} {formatting.percent(row['accuracy'])} at {formatting.millions(row['macs_mean'])}"
        for row in system["tau_sweep"]
    )
    figure = inference_pictures.ways_to_run(system, colour)
    return Picture(f"inference_{name}", figure, caption, f"Accuracy against MACs: {words}.")
