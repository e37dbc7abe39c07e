"""Pictures of decisions: activation rates, MACs of single images, and the paths that images take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import analysis, formatting, style
from keras_dynamic.report.schema import PerImage

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


def activation_rates(rates: Mapping[str, float], colour: str) -> style.Figure:
    """Draws the share of images that run each unit, in the order of the network.

    Args:
        rates: {decision: rate in [0, 1]}, at least one.
        colour: Colour of the bars.

    Returns:
        The figure.
    """
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


def rates_over_training(history: Mapping[str, Any], colour: str) -> style.Figure:
    """Draws the activation rate of each decision after each epoch of a training.

    Args:
        history: 'epochs' [how many were trained, rising by 1] and 'rates' {decision: [rate of each]}, at least one.
        colour: Colour of a decision that all images run; one that none runs is light grey.

    Returns:
        The figure: a row for each decision, in the network's order.

    Source:
        Herrmann et al., figures 24 to 27.
    """
    from matplotlib.colors import LinearSegmentedColormap

    names, epochs = list(history["rates"]), history["epochs"]
    values = 100 * np.array([history["rates"][name] for name in names], float)
    figure, (axes,) = style.new_figure(1.3 + 0.2 * min(max(len(names), 4), 32))
    figure.set_dpi(200)  # of the pixels that an SVG holds
    shades = LinearSegmentedColormap.from_list("rates", ["#eef1f4", colour])
    extent = (epochs[0] - 0.5, epochs[-1] + 0.5, len(names) - 0.5, -0.5)
    drawn = axes.imshow(values, shades, aspect="auto", interpolation="nearest", vmin=0, vmax=100, extent=extent)
    step = -(-len(names) // _MOST_BARS)
    axes.set_yticks(range(0, len(names), step), names[::step])
    axes.tick_params(axis="y", length=0, labelsize=style.FONT_SIZE - 2)
    axes.grid(visible=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    style.label_axes(axes, "Epochs trained", "Images that run each decision, %")
    figure.colorbar(drawn, ax=axes, ticks=[0, 50, 100], aspect=30, pad=0.02).outline.set_visible(False)
    return figure


def macs_distribution(macs: Sequence[float] | np.ndarray, static: float, colour: str) -> style.Figure:
    """Draws how the MACs of the images are spread.

    Args:
        macs: MACs of each image [n].
        static: MACs of the static reference.
        colour: Colour of the bars.

    Returns:
        The figure: shares of images over MACs, with the mean and the static reference as lines.
    """
    macs = np.asarray(macs, float) / 1e6
    figure, (axes,) = style.new_figure(2.6)
    edges = np.linspace(0, 1.03 * max(macs.max(), static / 1e6), 37)
    shares = 100 * np.histogram(macs, edges)[0] / len(macs)
    axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=colour, alpha=0.85, edgecolor="white")
    for value, words, look in ((macs.mean(), "mean", colour), (static / 1e6, "static", style.STATIC)):
        label = f"{words} {formatting.millions(1e6 * value)}"
        axes.axvline(value, color=look, linewidth=1.4, linestyle=(0, (4, 2)), label=label)
    axes.set_xlim(0, edges[-1])
    axes.grid(visible=False, axis="x")
    style.legend_above(axes, 2)
    style.label_axes(axes, "MACs per image, millions", "Images, %")
    return figure


def place_photograph(
    figure: style.Figure, image: np.ndarray, left: float, top: float, side: float, wrong: bool = False
) -> style.Axes:
    """Draws an image, smoothly enlarged or made smaller.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        image: uint8 [height, width, 3].
        left: Inches from the figure's left edge.
        top: Inches from its upper edge.
        side: Inches of the square that holds the image.
        wrong: Whether it was answered wrongly; it gets a red frame.

    Returns:
        Its axes.
    """
    axes = _box(figure, left, top, side, side)
    axes.imshow(image, interpolation="lanczos")
    if wrong:
        axes.axhspan(*axes.get_ylim(), facecolor="none", edgecolor=style.WRONG, linewidth=4)
    return axes


def _box(figure: style.Figure, left: float, top: float, width: float, height: float) -> style.Axes:
    """Axes without lines or numbers, placed in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def _write(figure: style.Figure, text: str, left: float, top: float, size: float, colour: str = style.INK) -> None:
    """Writes a line, placed in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    figure.text(left / across, 1 - top / down, text, fontsize=size, color=colour, va="top")


_PER_PATH, _PATH_SIDE, _PATH_ROW = 7, 0.84, 1.36  # images; inches


def frequent_paths(evaluation: PerImage, count: int, colour: str) -> style.Figure:
    """Draws the most frequent paths with the first images that take them.

    Args:
        evaluation: What a network did with each image; at least one decision.
        count: How many paths; fewer if there are fewer.
        colour: Colour of the units that run.

    Returns:
        The figure; a path is a strip of units in the network's order, those that it runs filled.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 4.
    """
    paths, right = analysis.dominant_paths(evaluation, count), analysis.is_right(evaluation)
    figure = style.empty_figure(_PATH_ROW * len(paths))
    for row, path in enumerate(paths):
        top, units = row * _PATH_ROW, int(path.runs.sum())
        words = (
            f"{units} unit{'' if units == 1 else 's'}, {formatting.percent(path.share, 0)} of the images, "
            f"{formatting.percent(path.accuracy, 0)} right"
        )
        _write(figure, words, 0, top + 0.04, style.FONT_SIZE - 2, style.MUTED)
        strip = _box(figure, 0, top + 0.25, style.WIDTH, 0.12)
        strip.bar(np.arange(len(path.runs)), 1.0, width=0.9, color=[colour if on else style.FAINT for on in path.runs])
        strip.set_xlim(-0.45, len(path.runs) - 0.55)
        strip.set_ylim(0, 1)
        for column, index in enumerate(path.images[:_PER_PATH]):
            left = column * (style.WIDTH - _PATH_SIDE) / (_PER_PATH - 1)
            place_photograph(figure, evaluation.images[index], left, top + 0.42, _PATH_SIDE, wrong=not right[index])
    return figure


_COLUMNS, _ROWS = 4, 2
_IMAGE, _GAP, _TITLE, _CAPTION = 1.46, 0.12, 0.44, 0.5  # inches


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
    half, macs = _TITLE + _ROWS * (_IMAGE + _CAPTION), np.asarray(evaluation.macs)
    figure = style.empty_figure(2 * half)
    for top, longest, which in ((0.0, False, "Shortest"), (half, True, "Longest")):
        end = macs.max() if longest else macs.min()
        count = np.count_nonzero(macs == end)
        title = (
            f"{which} paths; {count:,} of {len(macs):,} images {'takes' if count == 1 else 'take'} the "
            f"{which.lower()}, {formatting.millions(float(end))} MACs"
        )
        _write(figure, title, 0, top + 0.12, style.FONT_SIZE + 1)
        for place, index in enumerate(extremes(macs, evaluation.labels, _ROWS * _COLUMNS, longest)):
            row, column = divmod(place, _COLUMNS)
            where = column * (_IMAGE + _GAP), top + _TITLE + row * (_IMAGE + _CAPTION)
            _caption(place_photograph(figure, evaluation.images[index], *where, _IMAGE), evaluation, int(index))
    return figure


def _caption(axes: style.Axes, evaluation: PerImage, index: int) -> None:
    label, prediction = int(evaluation.labels[index]), int(evaluation.predictions[index])
    names = evaluation.class_names
    macs = formatting.millions(float(evaluation.macs[index]))
    words = {"fontsize": style.FONT_SIZE - 0.5, "transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, -0.04, f"{names[label]}, {macs}", color=style.INK, **words)
    if label != prediction:
        axes.text(0.5, -0.18, f"taken for {names[prediction]}", color=style.WRONG, **words)
