"""What a system runs, and how that differs between images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.report import formatting, style
from keras_dynamic.report.schema import PerImage

_BINS = 36
_MOST_BARS = 32


def rates_to_draw(rates: Mapping[str, float]) -> dict[str, float]:
    """Chooses what there is room for: of many decisions, one rate for all channel groups of a unit.

    Args:
        rates: Share of images that run each decision {name: rate}; those of channel groups are 'unit[1]' and so on.

    Returns:
        The same, or, of more than 32 decisions, {unit: mean over its groups}.
    """
    if len(rates) <= _MOST_BARS:
        return dict(rates)
    groups: dict[str, list[float]] = {}
    for name, rate in rates.items():
        groups.setdefault(name.partition("[")[0], []).append(float(rate))
    return {unit: sum(values) / len(values) for unit, values in groups.items()}


def activation_rates(system: Mapping[str, Any], colour: str) -> style.Figure:
    """Draws the share of images that run each unit, in the order of the network.

    Args:
        system: A system of report.json with activation_rates {decision: rate in [0, 1]}, at least one.
        colour: Colour of the bars.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no rates.
    """
    rates = system.get("activation_rates")
    if not rates:
        raise ValueError("Expected activation_rates {decision: rate}, got none; leave this picture out.")
    names, values = list(rates), 100 * np.array([float(rate) for rate in rates.values()])
    figure, (axes,) = style.new_figure(0.95 + 0.3 * len(names))
    rows = np.arange(len(names))
    axes.barh(rows, np.full(len(names), 100.0), height=0.62, color=style.FAINT, alpha=0.5)
    axes.barh(rows, values, height=0.62, color=colour)
    for row, value in zip(rows, values, strict=True):
        axes.text(102, row, f"{value:.0f} %", va="center", fontsize=style.FONT_SIZE - 1, color=style.INK)
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 114)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    style.label_axes(axes, "Images that run it, %")
    return figure


def macs_distribution(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> style.Figure:
    """Draws how the MACs of the images are spread, one panel per system.

    Args:
        report: The content of report.json.
        evaluations: {name of a system: PerImage}, at least one.

    Returns:
        The figure: shares of images over MACs, with the system's mean and its static reference as lines.

    Raises:
        ValueError: If there are no evaluations.
    """
    if not evaluations:
        raise ValueError("Expected at least one system's evaluation, got none; leave this picture out.")
    references = [report["systems"][name]["macs_static"] for name in evaluations]
    most = max(*(float(np.max(each.macs)) for each in evaluations.values()), *references) / 1e6
    figure, panels = style.new_figure(0.6 + 1.75 * len(evaluations), rows=len(evaluations))
    edges = np.linspace(0, 1.03 * most, _BINS + 1)
    looks = style.look_of(list(report["systems"]))
    for axes, (name, evaluation) in zip(panels, evaluations.items(), strict=True):
        colour = looks[name][0]
        shares, _ = np.histogram(np.asarray(evaluation.macs) / 1e6, edges)
        shares = 100 * shares / len(evaluation.macs)
        axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=colour, alpha=0.85, edgecolor="white")
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(0, 1.32 * max(float(shares.max()), 1e-9))
        axes.grid(visible=False, axis="x")
        static = report["systems"][name]["macs_static"]
        _upright_lines(axes, {"mean": (float(np.mean(evaluation.macs)), colour), "static": (static, style.STATIC)})
        last = axes is panels[-1]
        style.label_axes(axes, "MACs per image, millions" if last else "", f"{formatting.title_of(name)}: images, %")
    return figure


def _upright_lines(axes: style.Axes, lines: Mapping[str, tuple[float, str]]) -> None:
    """Marks costs {words: (MACs, colour)}; the cheapest has its words on the left if there is room.

    Words on the same side of their lines stand under one another.
    """
    least, right = min(macs for macs, _ in lines.values()), axes.get_xlim()[1]
    written = {"left": 0, "right": 0}
    for words, (macs, colour) in lines.items():
        x, place = macs / 1e6, macs / 1e6 / right
        axes.axvline(x, color=colour, linewidth=1.4, linestyle=(0, (4, 2)))
        side = "right" if place > 0.75 or (macs == least and place > 0.25) else "left"
        text, top = f" {words} {formatting.millions(macs)} ", (0.98 - 0.13 * written[side]) * axes.get_ylim()[1]
        written[side] += 1
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0}  # of the other lines
        axes.text(x, top, text, ha=side, va="top", fontsize=style.FONT_SIZE - 1, color=colour, bbox=clear)
