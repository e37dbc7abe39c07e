"""Pictures of decisions: by class, by path, by unit, and their rates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.metrics import units_run
from keras_dynamic.report import analysis, formatting, style
from keras_dynamic.report.analysis import Path
from keras_dynamic.report.schema import PerImage

_FRAME = 4.0  # points, of which the inner half is seen


def place_photograph(
    figure: style.Figure, image: np.ndarray, left: float, top: float, side: float, wrong: bool = False
) -> Any:
    """Draws an image, smoothly enlarged or made smaller.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        image: uint8 [height, width, 3].
        left: Inches from the figure's left edge.
        top: Inches from its upper edge.
        side: Inches of the square that holds the image.
        wrong: Whether it was answered wrongly; it gets a red frame.

    Returns:
        Its axes; they run from 0 to 1, from the lower left corner, under transform=axes.transAxes.
    """
    axes = box(figure, left, top, side, side)
    axes.imshow(image, interpolation="lanczos")
    if wrong:
        axes.axhspan(*axes.get_ylim(), facecolor="none", edgecolor=style.WRONG, linewidth=_FRAME)
    return axes


def box(figure: style.Figure, left: float, top: float, width: float, height: float) -> Any:
    """Makes axes without lines or numbers.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        left: Inches from the figure's left edge.
        top: Inches from its upper edge.
        width: Inches.
        height: Inches.

    Returns:
        The axes.
    """
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def write(figure: style.Figure, text: str, left: float, top: float, **look: Any) -> None:
    """Writes a line.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        text: The words.
        left: Inches from the figure's left edge to where they begin (or end, with ha="right").
        top: Inches from its upper edge to theirs.
        **look: What matplotlib's text takes, instead of the usual size and colour.
    """
    across, down = figure.get_size_inches()
    look = {"fontsize": style.FONT_SIZE - 1, "color": style.INK, "va": "top"} | look
    figure.text(left / across, 1 - top / down, text, **look)


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


# Inches; a class's paths stand side by side, each with its units as a strip, a line of words and images.
_PATHS, _PER_PATH, _BETWEEN = 3, 3, 0.2
_COLUMN = (style.WIDTH - (_PATHS - 1) * _BETWEEN) / _PATHS
_EDGE, _HEADING, _STRIP, _WORDS, _STRIP_GAP = 0.06, 0.3, 0.13, 0.27, 0.04
_SIDE = (_COLUMN - (_PER_PATH - 1) * _STRIP_GAP) / _PER_PATH
_CLASS = _HEADING + _STRIP + _WORDS + _SIDE + 0.22
_NOTCH = 0.024

# Inches; a class's easiest and hardest images stand in one row behind its name.
_ENDS, _NAME, _MIDDLE, _HEADER, _NUMBER = 4, 1.0, 0.24, 0.36, 0.24
_LETTERS = 13
_SMALL = (style.WIDTH - _NAME - _MIDDLE - 2 * (_ENDS - 1) * _STRIP_GAP) / (2 * _ENDS)


def paths_of_classes(evaluation: PerImage, classes: list[int], colour: str) -> style.Figure:
    """Draws the most frequent paths of each class with the first images that take them.

    Args:
        evaluation: What a network did with each image; at least one decision.
        classes: The classes to show, at least one; each has at least one image.
        colour: Colour of the units that run.

    Returns:
        The figure; a path is a strip of units in the network's order, those that it runs filled.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 4.
    """
    figure = style.empty_figure(_EDGE + _CLASS * len(classes))
    labels, units = np.asarray(evaluation.labels), units_run(evaluation.decisions)
    for row, label in enumerate(classes):
        top, of_class = _EDGE + row * _CLASS, labels == label
        name, images = evaluation.class_names[label], int(of_class.sum())
        write(figure, name, 0, top, fontweight="bold", fontsize=style.FONT_SIZE)
        words = f"{images:,} images, {units[of_class].mean():.1f} units on average"
        write(figure, words, style.WIDTH, top + 0.02, ha="right", color=style.MUTED)
        for column, path in enumerate(analysis.dominant_paths(evaluation, _PATHS, label)):
            _draw_path(figure, evaluation, path, column * (_COLUMN + _BETWEEN), top + _HEADING, colour)
    return figure


def easy_and_hard(evaluation: PerImage, classes: list[int]) -> style.Figure:
    """Draws, of each class, rightly answered images that run the fewest units and the most.

    Args:
        evaluation: What a network did with each image; at least one decision.
        classes: The classes to show, at least one.

    Returns:
        The figure; under each image stands how many units it runs.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 5.
    """
    row_height = _SMALL + _NUMBER
    figure = style.empty_figure(_HEADER + row_height * len(classes))
    units = units_run(evaluation.decisions)
    ends = {0: _NAME, 1: _NAME + _ENDS * (_SMALL + _STRIP_GAP) - _STRIP_GAP + _MIDDLE}
    for end, words in enumerate(("Fewest units", "Most units")):
        write(figure, words, ends[end], _EDGE, fontweight="bold", fontsize=style.FONT_SIZE)
    for row, label in enumerate(classes):
        top = _HEADER + row * row_height
        name = textwrap.fill(evaluation.class_names[label].replace("_", " "), _LETTERS)
        write(figure, name, 0, top + _SMALL / 2, va="center")
        for end, chosen in enumerate(analysis.easiest_and_hardest(evaluation, label, _ENDS)):
            for place, index in enumerate(chosen):
                left = ends[end] + place * (_SMALL + _STRIP_GAP)
                place_photograph(figure, evaluation.images[index], left, top, _SMALL)
                below = {"ha": "center", "fontsize": style.FONT_SIZE - 2, "color": style.MUTED}
                write(figure, f"{units[index]}", left + _SMALL / 2, top + _SMALL + 0.02, **below)
    return figure


def _draw_path(figure: style.Figure, evaluation: PerImage, path: Path, left: float, top: float, colour: str) -> None:
    strip = box(figure, left, top, _COLUMN, _STRIP)
    colours = [colour if runs else style.FAINT for runs in path.runs]
    width = 1 - min(_NOTCH * len(path.runs) / _COLUMN, 0.2)
    strip.bar(np.arange(len(path.runs)), 1.0, width=width, color=colours)
    strip.set_xlim(-width / 2, len(path.runs) - 1 + width / 2)
    strip.set_ylim(0, 1)
    share, right = formatting.percent(path.share, 0), formatting.percent(path.accuracy, 0)
    count = int(path.runs.sum())
    words = f"{count} unit{'' if count == 1 else 's'}, {share}, {right} right"
    write(figure, words, left, top + _STRIP + 0.04, fontsize=style.FONT_SIZE - 2, color=style.MUTED)
    right_answers = analysis.is_right(evaluation)
    for place, index in enumerate(path.images[:_PER_PATH]):
        where = left + place * (_SIDE + _STRIP_GAP), top + _STRIP + _WORDS, _SIDE
        place_photograph(figure, evaluation.images[index], *where, wrong=not right_answers[index])


_COLUMNS, _ROWS = 4, 2

# Inches.
_IMAGE, _GAP, _TITLE, _CAPTION = 1.46, 0.12, 0.44, 0.5


def extremes(macs: np.ndarray, labels: np.ndarray, count: int, longest: bool) -> np.ndarray:
    """Chooses the images with the fewest or the most MACs; among equal costs every class in turn, in the data's order.

    Args:
        macs: MACs of each image [n].
        labels: Class of each image [n].
        count: How many to choose; fewer if there are fewer.
        longest: The most MACs instead of the fewest.

    Returns:
        Indices, most extreme first.
    """
    macs, labels = np.asarray(macs), np.asarray(labels)
    turn = np.zeros(len(macs), int)
    seen: dict[tuple, int] = {}
    for index, key in enumerate(zip(macs.tolist(), labels.tolist(), strict=True)):
        turn[index] = seen.get(key, 0)
        seen[key] = turn[index] + 1
    order = np.lexsort((np.arange(len(macs)), turn, -macs if longest else macs))
    return order[:count]


def shortest_and_longest(evaluation: PerImage) -> style.Figure:
    """Draws the images that a system spent least and most on, with their classes, its predictions and its MACs.

    Args:
        evaluation: The system's images, labels, predictions and MACs.

    Returns:
        The figure: two rows of the shortest paths, under them two rows of the longest; wrong predictions in red.
    """
    half = _TITLE + _ROWS * (_IMAGE + _CAPTION)
    figure = style.empty_figure(2 * half)
    for top, longest in ((0.0, False), (half, True)):
        write(figure, _title(evaluation, longest), 0, top + 0.12, fontsize=style.FONT_SIZE + 1)
        chosen = extremes(evaluation.macs, evaluation.labels, _ROWS * _COLUMNS, longest)
        for place, index in enumerate(chosen):
            row, column = divmod(place, _COLUMNS)
            where = column * (_IMAGE + _GAP), top + _TITLE + row * (_IMAGE + _CAPTION)
            axes = place_photograph(figure, evaluation.images[index], *where, _IMAGE)
            _caption(axes, evaluation, int(index))
    return figure


def _title(evaluation: PerImage, longest: bool) -> str:
    macs = np.asarray(evaluation.macs)
    end = macs.max() if longest else macs.min()
    which, count = "Longest" if longest else "Shortest", np.count_nonzero(macs == end)
    share = f"{count:,} of {len(macs):,} images {'takes' if count == 1 else 'take'}"
    return f"{which} paths; {share} the {which.lower()}, {formatting.millions(float(end))} MACs"


def _caption(axes: style.Axes, evaluation: PerImage, index: int) -> None:
    label, prediction = int(evaluation.labels[index]), int(evaluation.predictions[index])
    names = evaluation.class_names
    macs = formatting.millions(float(evaluation.macs[index]))
    words = {"fontsize": style.FONT_SIZE - 0.5, "transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, -0.04, f"{names[label]}, {macs}", color=style.INK, **words)
    if label != prediction:
        axes.text(0.5, -0.18, f"taken for {names[prediction]}", color=style.WRONG, **words)


_RATE_BINS = 20
_FADED = 0.4
_NEVER = "#eef1f4"
_FEWEST_ROWS, _MOST_ROWS, _MOST_NAMED, _MOST_APART = 4, 32, 32, 60


def rates_histogram(rates: Mapping[str, float], colour: str) -> style.Figure:
    """Draws how many decisions run for how many of the images.

    Args:
        rates: Share of images that run each decision {name: rate in [0, 1]}, at least one.
        colour: Colour of the bars.

    Returns:
        The figure; what runs for no image or for all of them is darker.

    Source:
        Herrmann et al., figure 9.
    """
    from matplotlib.colors import to_rgba

    values = np.array([float(rate) for rate in rates.values()])
    exact = (values == 0) | (values == 1)
    edges = np.linspace(0, 1, _RATE_BINS + 1)
    frozen, others = (np.histogram(values[chosen], edges)[0] for chosen in (exact, ~exact))
    figure, (axes,) = style.new_figure(3.2)
    left, width = 100 * edges[:-1], 100 / _RATE_BINS
    place = {"width": 0.86 * width, "align": "center"}
    axes.bar(left + width / 2, frozen, color=colour, **place)
    axes.bar(left + width / 2, others, bottom=frozen, color=colour, alpha=_FADED, **place)
    for x, count in zip(left + width / 2, frozen + others, strict=True):
        if count:
            axes.text(x, count, f"{count}", ha="center", va="bottom", fontsize=style.FONT_SIZE - 2, color=style.INK)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.15 * float((frozen + others).max()))
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=False, axis="x")
    _legend(axes, {"the same for all images": colour, "differs between images": to_rgba(colour, _FADED)})
    style.label_axes(axes, "Activation rate: images that run it, %", "Decisions")
    return figure


def rates_over_training(history: Mapping[str, Any], colour: str) -> style.Figure:
    """Draws the activation rate of each decision after each epoch of a training.

    Args:
        history: 'epochs' [how many were trained, rising by 1] and 'rates' {decision: [rate of each]}, at least one.
        colour: Colour of a decision that all images run; one that none runs is light grey.

    Returns:
        The figure: on top the mean over the decisions, under it a row for each, in the network's order; the
        rows of a unit's channel groups touch.

    Source:
        Herrmann et al., figures 24 to 27.
    """
    from matplotlib.colors import LinearSegmentedColormap

    names, epochs = list(history["rates"]), history["epochs"]
    values = 100 * np.array([history["rates"][name] for name in names], float)
    starts, units = _units(names)
    rows = 0.2 * min(max(len(names), _FEWEST_ROWS), _MOST_ROWS) + 0.6
    figure, (line, plane) = style.new_figure(1.9 + rows, rows=2, heights=(1.0, rows))
    line.plot(epochs, values.mean(axis=0), color=colour, linewidth=1.8)
    line.set_ylim(0, 104)
    line.set_yticks([0, 50, 100])
    style.label_axes(line, "", "Mean activation rate, %")

    shades = LinearSegmentedColormap.from_list("rates", [_NEVER, colour])
    left, right, bottom = epochs[0] - 0.5, epochs[-1] + 0.5, len(names) - 0.5
    figure.set_dpi(200)  # of the pixels that an SVG holds
    plane.imshow(
        values, shades, aspect="auto", interpolation="nearest", vmin=0, vmax=100, extent=(left, right, bottom, -0.5)
    )
    if len(units) <= _MOST_APART:
        plane.hlines(starts[1:] - 0.5, left, right, color="white", linewidth=1.2)
    step = -(-len(units) // _MOST_NAMED)
    middles = (starts + np.append(starts[1:], len(names)) - 1) / 2
    plane.set_yticks(middles[::step], units[::step])
    plane.tick_params(axis="y", length=0, labelsize=style.FONT_SIZE - 2)
    plane.grid(visible=False)
    plane.xaxis.get_major_locator().set_params(integer=True)
    style.label_axes(plane, "Epochs trained", "Each decision")
    _legend(plane, {f"{rate} %": shades(rate / 100) for rate in (0, 25, 50, 75, 100)})
    return figure


def _units(names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Where the decisions of each unit begin, and its name: those of channel groups are 'unit[1]' and so on."""
    units = [name.partition("[")[0] for name in names]
    starts = [k for k, unit in enumerate(units) if k == 0 or unit != units[k - 1]]
    return np.array(starts), [units[k] for k in starts]


def _legend(axes: style.Axes, colours: Mapping[str, Any]) -> None:
    """Says over the right end of the axes what colours are {words: colour}."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=words) for words, colour in colours.items()]
    style.legend_above(axes, len(colours), handles=handles, handlelength=1.0, handletextpad=0.5, columnspacing=1.2)


# Accuracy of fewer images than this, or than one in a hundred where there are few, says nothing and is left out.
ENOUGH = 10
_MOST_NUMBERED_BARS, _MOST_UNIT_BARS = 16, 24


def units_and_accuracy(evaluation: PerImage, colour: str) -> style.Figure:
    """Draws the distribution of units run, and under it the accuracy of the images that run that many.

    Args:
        evaluation: What a network did with each image; at least one decision.
        colour: Colour of bars and points.

    Returns:
        The figure; the upright lines are 95 % intervals (Wilson), the dashed line is the accuracy of all images. Where
        the numbers of units differ widely, neighbouring ones share a bar.
    """
    images = len(evaluation.labels)
    groups, step = _in_steps(analysis.by_units(evaluation))
    figure, (bars, points) = style.new_figure(4.6, rows=2)
    shares = 100 * groups.images / images
    bars.bar(groups.units, shares, width=0.72 * step, color=colour, alpha=0.85)
    if len(groups.units) <= _MOST_NUMBERED_BARS:
        for units, share in zip(groups.units, shares, strict=True):
            text = "<1" if share < 1 else f"{share:.0f}"
            bars.text(units, share, text, ha="center", va="bottom", fontsize=style.FONT_SIZE - 2, color=style.INK)
    bars.set_ylim(0, 1.15 * float(shares.max()))
    bars.grid(visible=False, axis="x")
    style.label_axes(bars, "", "Images, %")

    _draw_accuracy(points, groups, images, colour)
    overall = 100 * float(groups.right.sum()) / images
    points.axhline(overall, color=style.STATIC, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    points.set_xlim(groups.units[0] - 0.8 * step, groups.units[-1] + 0.8 * step)
    points.grid(visible=False, axis="x")
    points.xaxis.get_major_locator().set_params(integer=True)
    count = analysis.path_matrix(evaluation.decisions).shape[1]
    steps = "" if step == 1 else f", in steps of {step}"
    words = f"Answered rightly, % (dashed: all images, {overall:.1f})"
    style.label_axes(points, f"Units run, of {count} that can be skipped{steps}", words)
    return figure


def _in_steps(groups: analysis.ByUnits) -> tuple[analysis.ByUnits, int]:
    """Joins neighbouring numbers of units to at most _MOST_UNIT_BARS groups; returns their middles and width."""
    first, last = int(groups.units[0]), int(groups.units[-1])
    step = -(-(last - first + 1) // _MOST_UNIT_BARS)
    kept, place = np.unique((groups.units - first) // step, return_inverse=True)
    images, right = (np.bincount(place, weights=each).astype(int) for each in (groups.images, groups.right))
    return analysis.ByUnits(first + kept * step + (step - 1) / 2, images, right), step


def _draw_accuracy(axes: style.Axes, groups: analysis.ByUnits, images: int, colour: str) -> None:
    kept = groups.images >= min(ENOUGH, max(1, images // 100))
    units, right, counts = groups.units[kept], groups.right[kept], groups.images[kept]
    low, high = analysis.accuracy_interval(right, counts)
    axes.vlines(units, 100 * low, 100 * high, color=colour, linewidth=2.5, alpha=0.45, zorder=2)
    axes.plot(units, 100 * right / counts, color=colour, marker="o", markersize=6, linewidth=1.2, zorder=3)
    bottom = 100 * float(low.min())
    axes.set_ylim(max(bottom - 0.06 * (100 - bottom), 0), 100 + 0.06 * (100 - bottom))
