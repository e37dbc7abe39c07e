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


_DISTANCES = (9, 15, 23, 33, 45, 60)  # points
_ANGLES = np.deg2rad([0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 300, 240])
_LEADER_FROM = 20


class Label(NamedTuple):
    """A text that belongs to a point, or to any one of several.

    Attributes:
        text: The words.
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
    """Writes each label at the nearest free place to its point, with a thin line to the point if that is far.

    Labels are placed in the order given, so the important ones come first. The figure's layout is frozen at what it is.

    Args:
        axes: Axes whose limits are final.
        labels: The labels.
        obstacles: Polylines [k, 2] in data coordinates that no text may cross; single points are lines of length one.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale, frame, data = figure.dpi / 72, axes.get_window_extent(), axes.transData
    points = np.concatenate([_samples(data.transform(line)) for line in obstacles])
    boxes = np.zeros((0, 4))
    for label in labels:
        look = {"fontsize": label.size, "fontweight": label.weight, "color": label.colour, "zorder": 6}
        text = axes.text(0, 0, label.text, ha="center", va="center", **look)
        size = np.array(text.get_window_extent().size)
        best = (np.inf, np.zeros(4), np.zeros(2), 0)
        for rank, anchor in enumerate(label.anchors):
            pixel = data.transform(anchor)
            for distance, (order, angle) in itertools.product(_DISTANCES, enumerate(_ANGLES)):
                away = np.array([np.cos(angle), np.sin(angle)])
                # The near corner of the box, or the middle of its near side, lies at the distance.
                low = pixel + away * distance * scale + (np.sign(np.round(away, 6)) - 1) / 2 * size
                box = np.concatenate([low, low + size])
                cost = distance + 0.5 * order + 6 * rank + _collisions(box, points, boxes, frame, scale)
                if cost < best[0]:
                    best = (cost, box, pixel, distance)
        _, box, pixel, distance = best
        boxes = np.vstack([boxes, box])
        text.set_position(data.inverted().transform((box[:2] + box[2:]) / 2))
        end = np.clip(pixel, box[:2], box[2:])
        if distance >= _LEADER_FROM and (span := np.linalg.norm(end - pixel)):
            start = pixel + (end - pixel) * min(7 * scale / span, 0.6)
            line = data.inverted().transform([start, end])
            axes.plot(*line.T, color=label.colour, linewidth=0.7, alpha=0.7, zorder=3)


def _collisions(box: np.ndarray, points: np.ndarray, boxes: np.ndarray, frame: Any, scale: float) -> float:
    """The cost of all that a box of pixels [left, bottom, right, top] would cover, and of leaving the axes."""
    low, high = box[:2] - scale * np.array([4, 3]), box[2:] + scale * np.array([4, 3])
    covered = np.count_nonzero(np.all((points > low) & (points < high), axis=1))
    overlapped = np.count_nonzero(np.all((boxes[:, 2:] > low) & (boxes[:, :2] < high), axis=1))
    outside = max(*(frame.min - low), *(high - frame.max))
    return 40.0 * covered + 2000.0 * overlapped + (5000.0 + outside if outside > 4 * scale else 0.0)


def _samples(line: np.ndarray) -> np.ndarray:
    """Points along a polyline [k, 2] in pixels, at most 4 apart."""
    line = np.atleast_2d(line)
    parts = [line]
    for start, end in itertools.pairwise(line):
        count = int(np.linalg.norm(end - start) / 4)
        parts.append(start + (end - start) * np.linspace(0, 1, count + 2)[1:-1, None])
    return np.concatenate(parts)
