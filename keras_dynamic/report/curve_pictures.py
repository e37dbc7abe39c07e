"""Pictures of accuracy against MACs or milliseconds, with the lines that a dynamic network has to beat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import frontier, style
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.style import Label, place

_HEIGHT = 4.6


def against_macs(report: Mapping[str, Any]) -> Plane:
    """Begins a plane of MACs and accuracy with the lines to beat.

    Args:
        report: The content of report.json.

    Returns:
        The plane, with the plain networks and their cascades on it; in_millions gives its points.
    """
    plane = Plane("MACs per image, mean, millions", "Accuracy, %")
    plane.static([in_millions(point) for point in frontier.static_points(report["static"])])
    plane.cascades([in_millions(point) for point in frontier.as_points(report.get("cascade_frontier") or [])])
    return plane


def in_millions(point: Point) -> Point:
    """A point of MACs and a fraction, in the units of against_macs.

    Args:
        point: MACs, accuracy as a fraction, and its label.
    """
    return Point(point.macs / 1e6, 100 * point.accuracy, point.label)


class Plane:
    """Collects points, then draws their labels clear of everything else.

    Args:
        cost: Name of the horizontal axis, with its unit.
        accuracy: Name of the vertical axis, with its unit.
    """

    def __init__(self, cost: str, accuracy: str):
        self._figure, (self._axes,) = style.new_figure(_HEIGHT)
        style.label_axes(self._axes, cost, accuracy)
        self._first: list[Label] = []
        self._then: list[Label] = []
        self._obstacles: list[np.ndarray] = []

    def static(self, points: Sequence[Point], estimated: Collection[str] = ()) -> None:
        """Draws plain networks and the line over their upper hull.

        Args:
            points: The networks, labelled.
            estimated: Labels of those whose cost was not measured; drawn hollow.
        """
        if not points:
            return
        self._line(points, style.STATIC, "-")
        for point in points:
            face = "white" if point.label in estimated else style.STATIC
            self._mark(point, "o", style.STATIC, face, 6)
            self._then.append(Label(point.label, [point[:2]], style.STATIC))

    def cascades(self, points: Sequence[Point], estimated: bool = False) -> None:
        """Draws cascades of plain networks and the line over their upper hull.

        Args:
            points: The cascades.
            estimated: Whether their cost was not measured; drawn hollow and dashed.
        """
        if not points:
            return
        colour = style.CASCADE_FRONTIER
        hull = self._line(points, colour, (0, (4, 2)) if estimated else "-")
        for point in hull:
            self._mark(point, "o", colour, "white" if estimated else colour, 4)
        middle = (len(hull) - 1) / 2
        anchors = [tuple(hull[k]) for k in sorted(range(len(hull)), key=lambda k: abs(k - middle))]
        self._then.insert(0, Label("cascade frontier", anchors, colour, size=style.FONT_SIZE - 0.5))

    def twin(self, points: Sequence[Point], look: tuple[str, str]) -> None:
        """Draws the static twin of a system: its two patterns, the line between, and the point at equal cost on it.

        Args:
            points: The point at equal cost, then the patterns, if they were kept.
            look: Colour and marker of the system.
        """
        if not points:
            return
        colour, marker = look
        if len(points) > 1:
            patterns = sorted(points[1:])
            self._axes.plot(*_xy(patterns).T, color=colour, linewidth=1, linestyle=":", zorder=3)
            self._obstacles.append(_xy(patterns))
        self._mark(points[0], marker, colour, "white", 7)
        self._first.append(Label("static twin", [points[0][:2]], colour))

    def system(self, name: str, point: Point, look: tuple[str, str]) -> None:
        """Draws a dynamic network.

        Args:
            name: Its name.
            point: Its mean cost and accuracy.
            look: Its colour and marker.
        """
        colour, marker = look
        self._mark(point, marker, colour, colour, 10)
        self._first.insert(0, Label(name, [point[:2]], colour, "bold", style.FONT_SIZE + 1))

    def curve(self, name: str, points: Sequence[Point], colour: str, linestyle: str = "-", marker: str = "") -> None:
        """Draws one network at several costs.

        Args:
            name: What stands beside the line.
            points: Where it was measured, in rising order of cost, at least one.
            colour: Of line and points.
            linestyle: As Matplotlib's.
            marker: Of the points; none where the line is enough.
        """
        places = _xy(points)
        self._axes.plot(*places.T, color=colour, linewidth=1.6, linestyle=linestyle, marker=marker, zorder=3)
        self._obstacles.append(places)
        self._first.append(Label(name, [tuple(place) for place in places[::-1]], colour))

    def spread(self, low: float | None, high: float | None, point: Point, look: tuple[str, str]) -> None:
        """Draws a bar through a point, from one cost to another; nothing where either is None.

        Args:
            low: Where the bar begins.
            high: Where it ends.
            point: The point whose accuracy it has.
            look: Colour and marker of the system.
        """
        if low is None or high is None:
            return
        bar = np.array([[low, point.accuracy], [high, point.accuracy]])
        self._axes.plot(*bar.T, color=look[0], linewidth=4, alpha=0.25, solid_capstyle="butt", zorder=2)
        self._obstacles.append(bar)

    def finish(self) -> style.Figure:
        """Sets the limits and writes the labels.

        Returns:
            The figure.
        """
        everything = np.concatenate(self._obstacles)
        (left, low), (right, high) = everything.min(0), everything.max(0)
        self._axes.set_xlim(max(left - 0.1 * (right - left), 0) if right > left else None, _beyond(right, left, 0.12))
        self._axes.set_ylim(_beyond(low, high, 0.12), _beyond(high, low, 0.14))
        place(self._axes, self._first + self._then, self._obstacles)
        return self._figure

    def _line(self, points: Sequence[Point], colour: str, linestyle) -> np.ndarray:
        hull = _xy(frontier.upper_hull(points))
        self._axes.plot(*hull.T, color=colour, linewidth=1.6, linestyle=linestyle, zorder=2)
        self._obstacles.append(hull)
        return hull

    def _mark(self, point: Sequence, marker: str, colour: str, face: str, size: float) -> None:
        style_of = {"markeredgecolor": colour, "markerfacecolor": face, "markersize": size, "markeredgewidth": 1.4}
        self._axes.plot([point[0]], [point[1]], linestyle="", marker=marker, zorder=4, **style_of)
        self._obstacles.append(np.array([[point[0], point[1]]]))


def _xy(points: Sequence[Point]) -> np.ndarray:
    """Cost and accuracy [k, 2]."""
    return np.array([[point.macs, point.accuracy] for point in points])


def _beyond(end: float, other: float, share: float) -> float:
    """A limit past `end`, seen from `other`, by a share of their distance."""
    return end + share * ((end - other) or 1.0)


def accuracy_against_macs(report: Mapping[str, Any]) -> style.Figure:
    """Draws every network of a report on the plane of MACs and accuracy (Keras, float32).

    Args:
        report: The content of report.json.

    Returns:
        The figure: the static networks and the cascade frontier with the lines over their upper hulls, each system, and
        its static twin at equal MACs on the line between its two patterns.
    """
    plane = against_macs(report)
    for name, look in style.look_of(list(report["systems"])).items():
        system = report["systems"][name]
        plane.twin([in_millions(point) for point in _twin(system)], look)
        plane.system(name, in_millions(Point(system["macs_mean"], system["accuracy"])), look)
    return plane.finish()


def accuracy_against_time(report: Mapping[str, Any], precision: str) -> style.Figure:
    """Draws every network of a report on the plane of milliseconds and accuracy, as measured from the .tflite.

    What was not timed itself (static networks other than the references, the cascade frontier, the static twins) is
    placed by its MACs, at the time per MAC of the timed static networks, and drawn hollow; its accuracy is Keras'.

    Args:
        report: The content of report.json. A static network may carry {precision: {"latency_ms", "accuracy"}}.
        precision: 'float32' or 'int8'.

    Returns:
        The figure; bars through the systems reach from the 10th to the 90th percentile over images.
    """
    timed = frontier.timed_static(report, precision)

    def drawn(point: Point) -> Point:
        return Point(frontier.time_of(point.macs, timed), 100 * point.accuracy, point.label)

    statics = {point.label: drawn(point) for point in frontier.static_points(report["static"])}
    measured = {entry.label: Point(entry.milliseconds, 100 * entry.accuracy, entry.label) for entry in timed}
    cascades = [drawn(point) for point in frontier.as_points(report.get("cascade_frontier") or [])]
    plane = Plane(f"Milliseconds per image, mean, one thread, {precision}", "Accuracy of the .tflite, %")
    plane.static(list({**statics, **measured}.values()), estimated=set(statics) - set(measured))
    plane.cascades(cascades, estimated=True)
    for name, look in style.look_of(list(report["systems"])).items():
        system = report["systems"][name]
        speed = system[precision]
        point = Point(speed["latency_dynamic_ms"], 100 * speed["accuracy"])
        plane.twin([drawn(each) for each in _twin(system)], look)
        plane.spread(speed.get("latency_p10_ms"), speed.get("latency_p90_ms"), point, look)
        plane.system(name, point, look)
    return plane.finish()


def _twin(system: Mapping[str, Any]) -> list[Point]:
    """The static twin at equal MACs, then the two patterns between which it was read."""
    equal = Point(system["macs_mean"], system["accuracy_static_twin"])
    return [equal, *frontier.as_points(system.get("static_twin") or [])]


def exits_against_milliseconds(figures: Mapping[str, Any]) -> style.Figure:
    """Draws what a .tflite gives under budgets of time.

    Args:
        figures: of one precision, as the exit_latency job has them: accuracies and exit_static_ms of the static models,
            and budgets, rows with ms and accuracy.

    Returns:
        The figure: single exits dashed, budgets solid.

    Source:
        IMTA, figure 5.
    """
    plane = Plane("Time per image, mean, milliseconds", "Accuracy, %")
    alone = zip(figures["exit_static_ms"], figures["accuracies"], strict=True)
    plane.curve("single exits", [Point(ms, 100 * accuracy) for ms, accuracy in alone], style.INK, "--", "o")
    rows = sorted(Point(row["ms"], 100 * row["accuracy"]) for row in figures["budgets"])
    plane.curve("under budgets", rows, style.STATIC, marker="o")
    return plane.finish()
