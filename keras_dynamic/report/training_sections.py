"""Sections on gradients of the plain network, and on ways to run a trained one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.metrics import rank_correlation
from keras_dynamic.report import formatting, style
from keras_dynamic.report.curve_pictures import thresholds_against_macs
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Cell, Picture, Section, Table, Text, table_of


def gradient_section(name: str) -> Section:
    """Whether the units of one system run the more often, the larger their gradients in the plain network are.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no gradient_magnitudes.

    Source:
        SGAD (Wang et al. 2018), section 4.1 and figure 4.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        magnitudes = system.get("gradient_magnitudes")
        if not magnitudes:
            return []
        largest = max(magnitudes.values()) or 1.0
        rates = {unit: unit_rate(system.get("activation_rates", {}), unit) for unit in magnitudes}
        columns = {
            "": lambda unit: unit,
            "gradient": lambda unit: f"{magnitudes[unit]:.2e}",
            "of the largest": lambda unit: f"{magnitudes[unit] / largest:.2f}",
            "activation rate": lambda unit: _rate(rates[unit]),
        }
        caption = "Mean absolute gradient of the cross entropy by a unit's kernels, in the plain network"
        table = table_of(magnitudes, columns, caption)
        return [*_correlation(magnitudes, rates), table]

    return Section(f"{formatting.title_of(name)}: gradients and activation rates", render)


def unit_rate(rates: Mapping[str, float], unit: str) -> float | None:
    """The share of images that run a unit.

    Args:
        rates: {decision: share of images that run it}; those of channel groups are 'unit[1]' and so on.
        unit: A unit's name.

    Returns:
        The mean over its channel groups, or its own rate; None if it always runs.
    """
    groups = [rate for name, rate in rates.items() if name.startswith(f"{unit}[")]
    return sum(groups) / len(groups) if groups else rates.get(unit)


def _rate(value: float | None) -> str:
    return "always runs" if value is None else formatting.percent(value, 1)


def _correlation(magnitudes: Mapping[str, float], rates: Mapping[str, float | None]) -> list[Block]:
    decided = [unit for unit, rate in rates.items() if rate is not None]
    shares = np.array([rates[unit] for unit in decided], float)
    if len(decided) < 2 or np.ptp(shares) == 0:
        return []
    value = rank_correlation(np.array([magnitudes[unit] for unit in decided]), shares)
    reading = f"units with larger gradients run {'more' if value > 0 else 'less'} often"
    return [
        Text(
            [
                f"Over the {len(decided)} units that are decided, the rank correlation between the magnitude of a "
                "unit's gradients in the plain network and the share of images that run it is "
                f"{formatting.correlation(value)}: {'neither goes with the other' if abs(value) < 0.1 else reading}."
            ],
            listed=True,
        )
    ]


_WAYS = {
    "threshold": "Its own threshold, tau {tau:g}",
    "always_on": "Everything on",
    "stochastic": "Sampled, mean of {runs} runs",
    "ensemble": "{runs} samples together",
}


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
        sweep, ways = system.get("tau_sweep"), system.get("inference", [])
        if not sweep:
            return []
        words = "; ".join(
            f"tau {row['tau']:g} {formatting.percent(row['accuracy'])} at {formatting.millions(row['macs_mean'])}"
            for row in sweep
        )
        figure = thresholds_against_macs(system, style.look_of(list(report["systems"]))[name])
        caption = "Accuracy (Keras, float32) against mean MACs at each threshold tau on the probability of running."
        return [
            Text([_sweep_sentence(sweep), *_ways_sentences(ways)], listed=True),
            Picture(f"inference_{name}", figure, caption, f"Accuracy against MACs: {words}."),
            _table([*sweep, *ways]),
        ]

    return Section(f"{formatting.title_of(name)}: inference", render)


def _sweep_sentence(sweep: Sequence[Mapping[str, Any]]) -> str:
    first, last = sweep[0], sweep[-1]
    macs, accuracies = ([formatting.show(key, row[key]) for row in (first, last)] for key in ("macs_mean", "accuracy"))
    return (
        f"From tau {first['tau']:g} to {last['tau']:g} its mean MACs go from {macs[0]} to {macs[1]} and its accuracy "
        f"from {accuracies[0]} to {accuracies[1]}."
    )


def _ways_sentences(ways: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each other way gains over the network's own threshold, and what it costs."""
    own = next((row for row in ways if row["mode"] == "threshold"), None)
    if own is None:
        return []
    return [
        f"{_way(row)}: {formatting.points(row['accuracy'] - own['accuracy'])} against tau {own['tau']:g}, at "
        f"{row['macs_mean'] / own['macs_mean']:.2f} times the MACs."
        for row in ways
        if row is not own
    ]


def _way(row: Mapping[str, Any]) -> str:
    if "mode" not in row:
        return f"tau {row['tau']:g}"
    return _WAYS.get(row["mode"], row["mode"].replace("_", " ")).format(**row)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = [key for key in ("accuracy", "accuracy_top5", "macs_mean") if any(key in row for row in rows)]
    columns = {"": _way} | {formatting.name_of(key): lambda row, key=key: _cell(row, key) for key in keys}
    spread = any("accuracy_std" in row for row in rows)
    return table_of(rows, columns, "After ±: standard deviation over the runs" if spread else "")


def _cell(row: Mapping[str, Any], key: str) -> Cell:
    spread = row.get(f"{key}_std")
    if spread is None:
        return Cell(formatting.show(key, row.get(key)))
    printed = formatting.points(spread).lstrip("+") if key.startswith("accuracy") else formatting.millions(spread)
    return Cell(formatting.show(key, row[key]), f"± {printed}")
