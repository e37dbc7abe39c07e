"""Lines to beat: the accuracy that a family of networks reaches at a given cost.

A point is (macs, accuracy) or (macs, accuracy, label); the unit of the accuracy is the caller's, fractions in reports.
The same functions serve for any cost, milliseconds too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MARGINS = ("margin_static_line", "margin_static_twin", "margin_cascade")


class Point(NamedTuple):
    """One network on the plane of cost and accuracy.

    Attributes:
        macs: Cost of one image, in MACs (or whatever unit all points share).
        accuracy: Accuracy at that cost.
        label: Name of the network, may be empty.
    """

    macs: float
    accuracy: float
    label: str = ""


def as_points(points: Sequence[Sequence[Any]]) -> list[Point]:
    """Reads points from pairs or triples, such as those of report.json.

    Args:
        points: Sequences of two or three items: macs, accuracy and perhaps a label.

    Returns:
        The points in the order given.

    Raises:
        ValueError: If an item is no pair or triple, or not finite, or its cost is negative.
    """
    result = []
    for item in points:
        if len(item) not in (2, 3):
            raise ValueError(f"Expected (macs, accuracy) or (macs, accuracy, label), got {item!r}; give such points.")
        point = Point(float(item[0]), float(item[1]), str(item[2]) if len(item) == 3 else "")
        if not (math.isfinite(point.macs) and math.isfinite(point.accuracy)) or point.macs < 0:
            raise ValueError(f"Expected finite macs >= 0 and a finite accuracy, got {item!r}; leave such points out.")
        result.append(point)
    return result


def static_points(static: Mapping[str, Mapping[str, float]]) -> list[Point]:
    """Points of a report's "static" entry.

    Args:
        static: {name: {"accuracy": fraction, "macs": MACs}}.

    Returns:
        One labelled point per network, cheapest first.
    """
    return sorted(Point(float(entry["macs"]), float(entry["accuracy"]), name) for name, entry in static.items())


def upper_hull(points: Sequence[Sequence[Any]]) -> list[Point]:
    """The corners of the upper hull, from the cheapest point up to the most accurate one.

    What lies behind the most accurate point costs more and is worse, so it is no part of the line. Points on a straight
    stretch are dropped, as are all but the best of equal cost.

    Args:
        points: Points as `as_points` reads them, in any order.

    Returns:
        The corners, rising in cost and in accuracy.

    Raises:
        ValueError: If there is no point, or a malformed one.
    """
    ordered = sorted(as_points(points), key=lambda point: (point.macs, -point.accuracy))
    if not ordered:
        raise ValueError("Expected at least one point to draw a line over, got none; leave out what was not measured.")
    hull: list[Point] = []
    for point in ordered:
        if hull and point.accuracy <= hull[-1].accuracy:
            continue
        while len(hull) > 1 and _not_above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _not_above(left: Point, middle: Point, right: Point) -> bool:
    """Whether `middle` lies on or under the straight line from `left` to `right`."""
    rise = (middle.accuracy - left.accuracy) * (right.macs - left.macs)
    return rise <= (right.accuracy - left.accuracy) * (middle.macs - left.macs)


def line_at(points: Sequence[Sequence[Any]], macs: float) -> float:
    """Accuracy of the line over the upper hull at a cost.

    Right of the last corner the line goes on level: nobody has to spend more than the best point costs. Left of the
    first corner it is level too: no network of the family is that cheap, and holding a cheaper system to the accuracy
    of the cheapest network is the stricter bar, so a margin read there is never flattering.

    Args:
        points: Points as `as_points` reads them, in any order.
        macs: The cost, in the points' unit.

    Returns:
        The accuracy, in the points' unit.

    Raises:
        ValueError: If there is no point, or a malformed one.
    """
    hull = upper_hull(points)
    if macs <= hull[0].macs:
        return hull[0].accuracy
    for left, right in itertools.pairwise(hull):
        if macs <= right.macs:
            return between(left, right, macs)
    return hull[-1].accuracy


def between(left: Sequence[Any], right: Sequence[Any], macs: float) -> float:
    """Accuracy on the straight line between two neighbouring points, hull or not (a static twin's two patterns).

    Args:
        left: One point as `as_points` reads it.
        right: The other.
        macs: The cost, in the points' unit; outside the two, the nearer one's accuracy.

    Returns:
        The accuracy, in the points' unit; the better one where both cost the same.
    """
    low, high = sorted(as_points([left, right]))
    if low.macs == high.macs:
        return max(low.accuracy, high.accuracy)
    share = min(max((macs - low.macs) / (high.macs - low.macs), 0.0), 1.0)
    return low.accuracy + share * (high.accuracy - low.accuracy)


def margins(
    system: Mapping[str, Any],
    static: Mapping[str, Mapping[str, float]] | None = None,
    cascade_frontier: Sequence[Sequence[Any]] | None = None,
) -> dict[str, float]:
    """How far a system lies above each line at its own mean MACs.

    Args:
        system: A system of report.json: accuracy and macs_mean, and accuracy_static_twin where it was measured.
        static: The plain networks {name: {"accuracy", "macs"}}, or None or empty where none were given.
        cascade_frontier: Points [macs, accuracy, label], or None or empty where none were measured.

    Returns:
        margin_static_line, margin_static_twin and margin_cascade as fractions (below zero: under the line), without
        those whose line was not measured.
    """
    accuracy, macs = float(system["accuracy"]), float(system["macs_mean"])
    result = {}
    if static:
        result["margin_static_line"] = accuracy - line_at(static_points(static), macs)
    if system.get("accuracy_static_twin") is not None:
        result["margin_static_twin"] = accuracy - float(system["accuracy_static_twin"])
    if cascade_frontier:
        result["margin_cascade"] = accuracy - line_at(cascade_frontier, macs)
    return result
