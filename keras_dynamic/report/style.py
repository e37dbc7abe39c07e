"""Colours, sizes and fonts of all pictures, and labels placed clear of points and lines."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

# matplotlib.axes.Axes and matplotlib.figure.Figure, named here without importing them.
Axes: TypeAlias = Any
Figure: TypeAlias = Any

INK, MUTED, FAINT = "#1f2328", "#59636e", "#d8dee4"
STATIC, CASCADE_FRONTIER = "#6e7781", "#009e73"
WRONG = "#b3261e"
FONT_SIZE = 11
WIDTH = 6.2

# The palette of Okabe and Ito, without the green that the cascade frontier has.
_SYSTEM_COLOURS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")
_SYSTEM_MARKERS = ("s", "D", "^", "v", "P")


def look_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Gives each system a colour and a marker.

    Args:
        names: The systems of a report, in its order.

    Returns:
        {name: (colour, matplotlib marker)}; after five, looks repeat.
    """
    count = len(_SYSTEM_COLOURS)
    return {name: (_SYSTEM_COLOURS[k % count], _SYSTEM_MARKERS[k % count]) for k, name in enumerate(names)}


def empty_figure(height: float, constrained: bool = False) -> Figure:
    """Makes a figure of the common width, without axes.

    Args:
        height: Inches; the width is WIDTH.
        constrained: Whether Matplotlib lays the axes out, instead of the caller.

    Returns:
        The figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained" if constrained else None, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_figure(height: float, rows: int = 1, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """Makes a figure of the common width with bare axes, one under the other.

    Args:
        height: Inches; the width is WIDTH.
        rows: How many axes; they share the horizontal one.
        heights: How high they are, relative to one another; None for all the same.

    Returns:
        The figure and its axes, from the top.
    """
    figure = empty_figure(height, constrained=True)
    axes = list(figure.subplots(rows, 1, squeeze=False, sharex=True, height_ratios=heights).flat)
    for each in axes:
        _strip(each)
    return figure, axes


def label_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Names both axes, with their units.

    Args:
        axes: The axes.
        x: Text under them.
        y: Text over their upper left corner, horizontal so that it reads without turning the head.
    """
    axes.set_xlabel(x, fontsize=FONT_SIZE, color=MUTED, labelpad=6)
    axes.set_title(y, fontsize=FONT_SIZE, color=MUTED, loc="left", pad=8)


def legend_above(axes: Axes, columns: int, left: bool = False, **look) -> None:
    """Writes a legend over one end of the axes.

    Args:
        axes: The axes.
        columns: How many entries stand in a row.
        left: Whether it stands over the left end.
        look: Further arguments of Matplotlib's legend.
    """
    axes.legend(
        loc="lower left" if left else "lower right",
        bbox_to_anchor=(0 if left else 1, 1),
        ncols=columns,
        frameon=False,
        labelcolor=MUTED,
        borderaxespad=0.2,
        borderpad=0,
        **{"fontsize": FONT_SIZE - 1, **look},
    )


def png(figure: Figure, dots_per_inch: int = 200) -> bytes:
    """Draws a figure.

    Args:
        figure: The figure.
        dots_per_inch: Resolution.

    Returns:
        The PNG file; the same figure gives the same bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Draws a figure without a resolution.

    Args:
        figure: The figure.

    Returns:
        The SVG file with its letters as outlines; the same figure gives the same bytes.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "keras_dynamic", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _strip(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=FONT_SIZE - 1, colors=MUTED, color=FAINT)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


_DISTANCES = (9, 15, 23, 33, 45, 60)
_ANGLES = np.deg2rad([0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 300, 240])
_LEADER_FROM = 20


class Label(NamedTuple):
    """A text that belongs to a point, or to any one of several.

    Attributes:
        text: What it says.
        anchors: The points [k, 2] in data coordinates that it may stand at, best first.
        colour: Colour of the text.
        weight: Font weight.
        size: Font size in points.
    """

    text: str
    anchors: Sequence[tuple[float, float]]
    colour: str
    weight: str = "normal"
    size: float = 10.0


def place(axes: Axes, labels: Sequence[Label], obstacles: Sequence[np.ndarray]) -> None:
    """Writes each label at the nearest free place to its point, with a thin leader where that is not beside it.

    Labels are placed in the order given, so the important ones come first. The figure's layout is frozen at what it is.

    Args:
        axes: Axes whose limits are final.
        labels: The labels.
        obstacles: Polylines [k, 2] in data coordinates that no text may cross; single points are lines of length one.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    points = np.concatenate([_samples(axes.transData.transform(line)) for line in obstacles])
    frame = axes.get_window_extent(renderer)
    boxes: list[np.ndarray] = []
    for label in labels:
        extent = axes.text(0, 0, label.text, fontsize=label.size, fontweight=label.weight)
        width, height = extent.get_window_extent(renderer).size
        extent.remove()
        best = min(
            _candidates(axes, label, (width, height), scale),
            key=lambda candidate: _cost(candidate, points, boxes, frame, scale),
        )
        boxes.append(best.box)
        _write(axes, label, best, scale)


class _Candidate(NamedTuple):
    anchor: tuple[float, float]
    box: np.ndarray
    distance: float
    rank: int


def _candidates(axes, label, size, scale) -> list[_Candidate]:
    result = []
    for rank, anchor in enumerate(label.anchors):
        x, y = axes.transData.transform(anchor)
        for distance in _DISTANCES:
            for order, angle in enumerate(_ANGLES):
                # The box's near corner, or the middle of its near side, lies at the distance.
                away = np.array([np.cos(angle), np.sin(angle)])
                sides = np.sign(np.round(away, 6))
                low = (x, y) + away * distance * scale + (sides - 1) / 2 * size
                result.append(_Candidate(anchor, np.concatenate([low, low + size]), distance, order + 12 * rank))
    return result


def _cost(candidate: _Candidate, points: np.ndarray, boxes: Sequence[np.ndarray], frame, scale: float) -> float:
    left, bottom, right, top = candidate.box + np.array([-4, -3, 4, 3]) * scale
    inside = (points[:, 0] > left) & (points[:, 0] < right) & (points[:, 1] > bottom) & (points[:, 1] < top)
    cost = candidate.distance + 0.5 * candidate.rank + 40.0 * np.count_nonzero(inside)
    for other in boxes:
        overlap_x = min(right, other[2]) - max(left, other[0])
        overlap_y = min(top, other[3]) - max(bottom, other[1])
        if overlap_x > 0 and overlap_y > 0:
            cost += 2000.0
    outside = max(frame.x0 - left, right - frame.x1, frame.y0 - bottom, top - frame.y1, 0.0)
    return cost + (5000.0 + outside if outside > 4 * scale else 0.0)


def _write(axes, label: Label, candidate: _Candidate, scale: float) -> None:
    left, bottom, right, top = candidate.box
    middle = ((left + right) / 2, (bottom + top) / 2)
    inverse = axes.transData.inverted()
    x, y = inverse.transform(middle)
    style = {"fontsize": label.size, "fontweight": label.weight, "color": label.colour}
    axes.text(x, y, label.text, ha="center", va="center", zorder=6, **style)
    if candidate.distance >= _LEADER_FROM:
        anchor = axes.transData.transform(candidate.anchor)
        end = np.clip(anchor, [left, bottom], [right, top])
        span = np.linalg.norm(end - anchor)
        if span > 0:
            start = anchor + (end - anchor) * min(7 * scale / span, 0.6)
            (x0, y0), (x1, y1) = inverse.transform([start, end])
            axes.plot([x0, x1], [y0, y1], color=label.colour, linewidth=0.7, alpha=0.7, zorder=3)


def _samples(line: np.ndarray, step: float = 4.0) -> np.ndarray:
    """Points along a polyline [k, 2] in pixels, at most `step` apart."""
    line = np.atleast_2d(line)
    parts = [line]
    for start, end in itertools.pairwise(line):
        count = int(np.linalg.norm(end - start) / step)
        parts.append(start + (end - start) * np.linspace(0, 1, count + 2)[1:-1, None])
    return np.concatenate(parts)
