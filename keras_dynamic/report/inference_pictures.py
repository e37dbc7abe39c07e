"""Accuracy against MACs of one network that is run in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import style
from keras_dynamic.report.labels import Label, place

_APART = 16  # points between the numbers of two thresholds


def ways_to_run(system: Mapping[str, Any], colour: str) -> style.Figure:
    """Draws a network at many thresholds, and where they were measured, always on, sampled, and as an ensemble.

    Args:
        system: A system of report.json with tau_sweep, and perhaps inference.
        colour: Colour of the curve and of the network's own point.

    Returns:
        The figure; the upright line is the samples' standard deviation, the dashed one the largest ensemble, which
        costs more than the axis has room for.

    Source:
        Herrmann et al., figures 10 to 12.
    """
    sweep = system["tau_sweep"]
    rows = {row["mode"]: row for row in system.get("inference", [])}  # of ensembles the last one
    figure, (axes,) = style.new_figure(4.2)
    curve = np.array([_place_of(entry) for entry in sweep])
    obstacles, labels = [curve], []
    axes.plot(*curve.T, color=colour, linewidth=1.6, marker="o", markersize=4, zorder=3)

    own = _place_of(system)
    _mark(axes, own, "s", colour, colour, 9)
    labels.append(Label("own threshold", [own], colour, "bold"))
    if "always_on" in rows:
        point = _place_of(rows["always_on"])
        _mark(axes, point, "o", style.STATIC, style.STATIC, 7)
        labels.append(Label("everything on", [point], style.STATIC))
        obstacles.append(np.array([point]))
    if "stochastic" in rows:
        point, spread = _place_of(rows["stochastic"]), 100 * rows["stochastic"]["accuracy_std"]
        bar = np.array([[point[0], point[1] - spread], [point[0], point[1] + spread]])
        axes.plot(*bar.T, color=style.INK, linewidth=1.6, zorder=3)
        _mark(axes, point, "D", style.INK, "white", 6)
        labels.append(Label("sampled", [point], style.INK))
        obstacles.append(bar)
    left, right, low, high = _limits([own, *obstacles], rows.get("ensemble"))
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    if "ensemble" in rows:
        height = 100 * rows["ensemble"]["accuracy"]
        axes.axhline(height, color=style.INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
        obstacles.append(np.array([[left, height], [right, height]]))
        anchors = [(left + share * (right - left), height) for share in (0.25, 0.5, 0.75)]
        labels.append(Label(_ensemble(rows["ensemble"], system["macs_mean"]), anchors, style.INK))
    style.label_axes(axes, "MACs per image, mean, millions", "Accuracy, % (numbers: tau)")
    figure.draw_without_rendering()  # as the distances of points on the page are asked for next
    place(axes, [*labels, *_numbers(axes, sweep, curve, colour)], [*obstacles, np.array([own])])
    return figure


def _place_of(figures: Mapping[str, Any]) -> tuple[float, float]:
    return figures["macs_mean"] / 1e6, 100 * figures["accuracy"]


def _mark(axes: style.Axes, point: tuple[float, float], marker: str, colour: str, face: str, size: float) -> None:
    style_of = {"markeredgecolor": colour, "markerfacecolor": face, "markersize": size, "markeredgewidth": 1.4}
    axes.plot(*[[value] for value in point], linestyle="", marker=marker, zorder=4, **style_of)


def _ensemble(row: Mapping[str, Any], macs: float) -> str:
    return f"{row['runs']} samples together, {row['macs_mean'] / macs:.1f} times the MACs"


def _limits(places: Sequence[Any], ensemble: Mapping[str, Any] | None) -> tuple[float, float, float, float]:
    """Left, right, low and high ends of the axes, with room for labels."""
    points = np.concatenate([np.atleast_2d(each) for each in places])
    (left, low), (right, high) = points.min(0), points.max(0)
    if ensemble:
        low, high = min(low, 100 * ensemble["accuracy"]), max(high, 100 * ensemble["accuracy"])
    wide, tall = (right - left) or 0.2 * right, (high - low) or 1.0
    return max(left - 0.1 * wide, 0), right + 0.14 * wide, low - 0.12 * tall, high + 0.16 * tall


def _numbers(axes: style.Axes, sweep: Sequence[Mapping[str, Any]], curve: np.ndarray, colour: str) -> list[Label]:
    """A number for each threshold, or one for several neighbouring ones whose points lie on one another."""
    pixels = axes.transData.transform(curve) * 72 / axes.figure.dpi
    groups = [[0]]
    for k in range(1, len(sweep)):
        near = np.linalg.norm(pixels[k] - pixels[groups[-1][0]]) < _APART
        groups[-1].append(k) if near else groups.append([k])
    labels = []
    for group in groups:
        first, last = (f"{sweep[k]['tau']:g}" for k in (group[0], group[-1]))
        text = first if first == last else f"{first} to {last}"
        labels.append(Label(text, [tuple(curve[k]) for k in group], colour, size=style.FONT_SIZE - 2))
    return labels
