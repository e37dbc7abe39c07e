"""Sections and pictures on gradients of the plain network, and on ways to run a trained one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.metrics import rank_correlation
from keras_dynamic.report import formatting, style
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Cell, Folded, Picture, Section, Table, Text
from keras_dynamic.report.style import Label, place

_GAP = 1  # between stages, in units
_MOST_NUMBERED = 24
_MOST_MARKED = 60


def gradients_and_rates(stages: list[Stage], colour: str) -> style.Figure:
    """Draws each unit's gradient magnitude as a bar, and over it the share of images that run it as a point.

    Args:
        stages: As gradients.stages_of gives them.
        colour: Colour of the points and of the line through those of a stage.

    Returns:
        The figure; hollow points are units that always run.

    Source:
        SGAD (Wang et al. 2018), figure 4.
    """
    figure, (axes,) = style.new_figure(3.4)
    count = sum(len(stage.units) for stage in stages)
    ticks: list[int] = []
    words: list[str] = []
    start = 0
    for stage in stages:
        places = start + np.arange(len(stage.units))
        axes.bar(places, stage.magnitudes, width=0.72, color=style.STATIC, alpha=0.45)
        axes.plot(places, stage.rates, color=colour, linewidth=1.4, zorder=3)
        size = 6 if count <= _MOST_MARKED else 4
        for chosen, fill in ((stage.decided, colour), (~stage.decided, "white")):
            if not chosen.any():
                continue  # an unclipped line of no points would take room
            axes.plot(
                places[chosen],
                stage.rates[chosen],
                linestyle="",
                marker="o",
                markersize=size,
                markerfacecolor=fill,
                markeredgecolor=colour,
                clip_on=False,  # rates of 0 lie on the edge
                zorder=4,
            )
        if stage.name:
            axes.text(places.mean(), 1.1, stage.name, ha="center", fontsize=style.FONT_SIZE - 1, color=style.INK)
        if start:
            axes.axvline(start - (1 + _GAP) / 2, color=style.FAINT, linewidth=1.2)
        step = 1 if count <= _MOST_NUMBERED else -(-len(places) // max(1, _MOST_NUMBERED // max(3, len(stages))))
        ticks += places[::step].tolist()
        words += stage.labels[::step]
        start = int(places[-1]) + 1 + _GAP
    axes.set_xticks(ticks, words)
    axes.set_xlim(-0.9, start - _GAP - 0.1)
    axes.set_ylim(0, 1.2)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    _explain(axes, colour)
    style.label_axes(axes, "Unit of the stage" if len(stages) > 1 else "Unit, in the network's order")
    return figure


def _explain(axes: style.Axes, colour: str) -> None:
    """Says over the axes what bars and points are, each in its colour."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Patch(color=style.STATIC, alpha=0.45, label="Gradient, largest = 1"),
        Line2D([], [], color=colour, marker="o", linewidth=1.4, label="Share of images that run it"),
    ]
    style.legend_above(axes, 2, left=True, handles=marks, handlelength=1.4, columnspacing=1.4)


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


_STAGED = re.compile(r"(.+)_unit(\d+)")


class Stage(NamedTuple):
    """Neighbouring units of one size.

    Attributes:
        name: For example 'stage 1'; '' where the units' names tell no stages.
        labels: What tells each of its units from the others.
        units: Their names.
        magnitudes: Gradient magnitude of each in the plain network, over the network's largest [k].
        rates: Share of images that run each; 1 for one that is not decided [k].
        decided: Whether each is decided [k].
    """

    name: str
    labels: tuple[str, ...]
    units: tuple[str, ...]
    magnitudes: np.ndarray
    rates: np.ndarray
    decided: np.ndarray


def stages_of(system: Mapping[str, Any]) -> list[Stage]:
    """Sorts the units that can be skipped into stages, by names such as 'stage2_unit3'.

    Args:
        system: A system of report.json with gradient_magnitudes {unit: number >= 0}, at least one, and activation_rates
            {unit: rate}, in which units that always run may be missing.

    Returns:
        The stages in the network's order; a single one without a name where names are others.

    Raises:
        ValueError: If there are no magnitudes.
    """
    magnitudes, rates = system.get("gradient_magnitudes"), system.get("activation_rates", {})
    if not magnitudes:
        raise ValueError("Expected gradient_magnitudes {unit: number}, got none; leave them out of the report.")
    largest = max(magnitudes.values()) or 1.0
    matches = [_STAGED.fullmatch(unit) for unit in magnitudes]
    found: dict[str, list[tuple[str, str]]] = {}
    for position, (unit, match) in enumerate(zip(magnitudes, matches, strict=True)):
        stage, label = match.groups() if match and all(matches) else ("", str(position + 1))
        found.setdefault(stage, []).append((label, unit))
    stages = []
    for stage, members in found.items():
        labels, units = zip(*members, strict=True)
        stages.append(
            Stage(
                re.sub(r"(?<=\D)(\d+)$", r" \1", stage.replace("_", " ")),
                labels,
                units,
                np.array([magnitudes[unit] / largest for unit in units]),
                np.array([_rate(rates, unit, 1.0) for unit in units]),
                np.array([_rate(rates, unit, None) is not None for unit in units]),
            )
        )
    return stages


def _rate(rates: Mapping[str, float], unit: str, otherwise: float | None) -> float | None:
    """The mean of the rates of a unit's channel groups, 'unit[1]' and so on, or the unit's own if none is decided."""
    found = [rate for name, rate in rates.items() if name.startswith(f"{unit}[")]
    return sum(found) / len(found) if found else rates.get(unit, otherwise)


def correlation(stages: list[Stage]) -> float | None:
    """How the rates of the decided units follow the magnitudes.

    Args:
        stages: Of one network, or some of them.

    Returns:
        Spearman's rank correlation over the decided units of all these stages; None for fewer than two, or where all
        have the same rate.
    """
    decided = np.concatenate([stage.decided for stage in stages])
    if decided.sum() < 2:
        return None
    magnitudes, rates = (np.concatenate([getattr(stage, key) for stage in stages]) for key in ("magnitudes", "rates"))
    if np.ptp(rates[decided]) == 0:
        return None
    return rank_correlation(magnitudes[decided], rates[decided])


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
        if not system.get("gradient_magnitudes"):
            return []
        stages = stages_of(system)
        colour = style.look_of(list(report["systems"]))[name][0]
        sentences = _gradient_sentences(stages)
        return [
            *([Text(sentences, listed=True)] if sentences else []),
            _gradient_picture(name, stages, colour),
            Folded("Unit by unit", [_gradient_table(system, stages)]),
        ]

    return Section(f"{formatting.title_of(name)}: gradients and activation rates", render)


def _gradient_sentences(stages: list[Stage]) -> list[str]:
    whole = correlation(stages)
    if whole is None:
        return []
    decided = sum(int(stage.decided.sum()) for stage in stages)
    sentences = [
        f"Over the {decided} units that are decided, the rank correlation between the magnitude of a unit's gradients "
        f"in the plain network and the share of images that run it is {formatting.correlation(whole)}: "
        f"{_reading(whole)}."
    ]
    within = {stage.name: correlation([stage]) for stage in stages}
    if len(stages) > 1 and None not in within.values():
        words = ", ".join(f"{formatting.correlation(value or 0.0)} in {stage}" for stage, value in within.items())
        sentences.append(f"Within the stages it is {words}.")
    return sentences


def _reading(value: float) -> str:
    if abs(value) < 0.1:
        return "neither goes with the other"
    return f"units with larger gradients run {'more' if value > 0 else 'less'} often"


def _gradient_picture(name: str, stages: list[Stage], colour: str) -> Picture:
    caption = (
        "Bars: mean absolute gradient of the cross entropy by a unit's kernels, in the plain network on training "
        "images, over that of the unit with the largest. Points: activation rate of the dynamic network."
    )
    if not all(stage.decided.all() for stage in stages):
        caption += " Hollow: always runs."
    words = ", ".join(
        f"{unit} {magnitude:.2f} and {formatting.percent(rate, 0)}"
        for stage in stages
        for unit, magnitude, rate in zip(stage.units, stage.magnitudes, stage.rates, strict=True)
    )
    figure = gradients_and_rates(stages, colour)
    return Picture(f"gradients_{name}", figure, caption, f"Gradient and activation rate of units: {words}.", wide=True)


def _gradient_table(system: Mapping[str, Any], stages: list[Stage]) -> Table:
    rows = [
        [
            unit,
            f"{system['gradient_magnitudes'][unit]:.2e}",
            f"{magnitude:.2f}",
            formatting.percent(rate, 1) if decided else "always runs",
        ]
        for stage in stages
        for unit, magnitude, rate, decided in zip(
            stage.units, stage.magnitudes, stage.rates, stage.decided, strict=True
        )
    ]
    return Table(["", "gradient", "of the largest", "activation rate"], rows)


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
            Text([_sweep_sentence(sweep), *_inference_sentences(ways)], listed=True),
            _inference_picture(name, system, colour),
            *([_inference_table([_way(row) for row in ways], ways)] if ways else []),
            Folded("Threshold by threshold", [_inference_table([f"tau {row['tau']:g}" for row in sweep], sweep)]),
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


def _inference_sentences(ways: Sequence[Mapping[str, Any]]) -> list[str]:
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


def _inference_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
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


def _inference_picture(name: str, system: Mapping[str, Any], colour: str) -> Picture:
    caption = "Accuracy (Keras, float32) against mean MACs at each threshold tau on the probability of running."
    if system.get("inference"):
        caption += " Diamond: gates sampled, with the standard deviation over the runs."
    words = "; ".join(
        f"tau {row['tau']:g} {formatting.percent(row['accuracy'])} at {formatting.millions(row['macs_mean'])}"
        for row in system["tau_sweep"]
    )
    figure = ways_to_run(system, colour)
    return Picture(f"inference_{name}", figure, caption, f"Accuracy against MACs: {words}.")
