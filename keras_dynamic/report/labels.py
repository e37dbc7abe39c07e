"""Direct labels that keep clear of points, lines and one another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_dynamic.report.style import Axes

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
