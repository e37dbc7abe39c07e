"""Activation rates of many decisions: how they are spread, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.report import style

_BINS = 20
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
    edges = np.linspace(0, 1, _BINS + 1)
    settled, others = (np.histogram(values[chosen], edges)[0] for chosen in (exact, ~exact))
    figure, (axes,) = style.new_figure(3.2)
    left, width = 100 * edges[:-1], 100 / _BINS
    place = {"width": 0.86 * width, "align": "center"}
    axes.bar(left + width / 2, settled, color=colour, **place)
    axes.bar(left + width / 2, others, bottom=settled, color=colour, alpha=_FADED, **place)
    for x, count in zip(left + width / 2, settled + others, strict=True):
        if count:
            axes.text(x, count, f"{count}", ha="center", va="bottom", fontsize=style.FONT_SIZE - 2, color=style.INK)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.15 * float((settled + others).max()))
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
