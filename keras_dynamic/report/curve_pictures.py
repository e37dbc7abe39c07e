"""Pictures of accuracy against MACs or milliseconds, with the lines that a dynamic network has to beat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.report import frontier, style
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.style import Label, place


class Plane:
    """A plane of cost and accuracy: collects points and lines, then writes their labels clear of everything else.

    Args:
        cost: Name of the horizontal axis, with its unit.
        accuracy: Name of the vertical axis, with its unit.
    """

    def __init__(self, cost: str, accuracy: str):
        self._figure, (self._axes,) = style.new_figure(4.6)
        style.label_axes(self._axes, cost, accuracy)
        self._first: list[Label] = []
        self._then: list[Label] = []
        self._obstacles: list[np.ndarray] = []

    def static(self, points: Sequence[Point], estimated: Collection[str] = ()) -> None:
        """Draws plain networks and the line over their upper hull; those labelled in `estimated` are hollow."""
        if points:
            self._line(frontier.upper_hull(points), style.STATIC)
        for point in points:
            self._mark(point, "o", style.STATIC, hollow=point.label in estimated)
            self._then.append(Label(point.label, [point[:2]], style.STATIC))

    def cascades(self, points: Sequence[Point], estimated: bool = False) -> None:
        """Draws the cascade frontier: the upper hull of cascades; hollow and dashed if their cost is estimated."""
        if not points:
            return
        colour, hull = style.CASCADE_FRONTIER, frontier.upper_hull(points)
        self._line(hull, colour, (0, (4, 2)) if estimated else "-")
        for point in hull:
            self._mark(point, "o", colour, hollow=estimated, size=4)
        middle = (len(hull) - 1) / 2
        anchors = [hull[k][:2] for k in sorted(range(len(hull)), key=lambda k: abs(k - middle))]
        self._then.insert(0, Label("cascade frontier", anchors, colour, size=style.FONT_SIZE - 0.5))

    def twin(self, points: Sequence[Point], look: tuple[str, str]) -> None:
        """Draws a static twin: the point at equal cost, then, if they were kept, the two patterns around it."""
        colour, marker = look
        if len(points) > 1:
            self._line(sorted(points[1:]), colour, ":", width=1)
        self._mark(points[0], marker, colour, hollow=True, size=7)
        self._first.append(Label("static twin", [points[0][:2]], colour))

    def system(self, name: str, point: Point, look: tuple[str, str]) -> None:
        """Draws a dynamic network at its mean cost, in its colour and with its marker."""
        self._mark(point, look[1], look[0], size=10)
        self._first.insert(0, Label(name, [point[:2]], look[0], "bold", style.FONT_SIZE + 1))

    def point(self, point: Point, colour: str, marker: str = "o") -> None:
        """Draws one point with its label."""
        self._mark(point, marker, colour)
        self._first.append(Label(point.label, [point[:2]], colour))

    def curve(self, name: str, points: Sequence[Point], colour: str, linestyle: str = "-", marker: str = "") -> None:
        """Draws one network at several costs, in rising order; the name stands beside the line."""
        self._line(points, colour, linestyle, marker=marker)
        self._first.append(Label(name, [point[:2] for point in points[::-1]], colour))

    def spread(self, low: float | None, high: float | None, point: Point, look: tuple[str, str]) -> None:
        """Draws a bar through a point, from one cost to another; nothing where either is None."""
        if low is not None and high is not None:
            bar = np.array([[low, point.accuracy], [high, point.accuracy]])
            self._axes.plot(*bar.T, color=look[0], linewidth=4, alpha=0.25, solid_capstyle="butt", zorder=2)
            self._obstacles.append(bar)

    def finish(self) -> style.Figure:
        """Sets the limits, writes the labels and returns the figure."""
        everything = np.concatenate(self._obstacles)
        (left, low), (right, high) = everything.min(0), everything.max(0)
        wide, tall = (right - left) or 0.2 * right or 1.0, (high - low) or 1.0
        self._axes.set_xlim(max(left - 0.1 * wide, 0), right + 0.12 * wide)
        self._axes.set_ylim(low - 0.12 * tall, high + 0.14 * tall)
        place(self._axes, self._first + self._then, self._obstacles)
        return self._figure

    def _line(self, points: Sequence[Point], colour: str, linestyle: Any = "-", width: float = 1.6, marker: str = ""):
        places = np.array([point[:2] for point in points])
        self._axes.plot(
            *places.T, color=colour, linewidth=width, linestyle=linestyle, marker=marker, markersize=5, zorder=3
        )
        self._obstacles.append(places)

    def _mark(self, point: Point, marker: str, colour: str, hollow: bool = False, size: float = 6) -> None:
        look = {"markeredgecolor": colour, "markerfacecolor": "white" if hollow else colour, "markeredgewidth": 1.4}
        self._axes.plot([point.macs], [point.accuracy], ls="", marker=marker, markersize=size, zorder=4, **look)
        self._obstacles.append(np.array([point[:2]]))


def in_millions(macs: float, accuracy: float, label: str = "") -> Point:
    """A point of MACs and a fraction, in the units of `against_macs`: millions and per cent."""
    return Point(macs / 1e6, 100 * accuracy, label)


def against_macs(report: Mapping[str, Any]) -> Plane:
    """Begins a plane of MACs and accuracy with the lines to beat.

    Args:
        report: The content of report.json.

    Returns:
        The plane, with the plain networks and their cascades on it.
    """
    plane = Plane("MACs per image, mean, millions", "Accuracy, %")
    plane.static([in_millions(*point) for point in frontier.static_points(report["static"])])
    plane.cascades([in_millions(*point) for point in frontier.as_points(report.get("cascade_frontier") or [])])
    return plane


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
        plane.twin([in_millions(*point) for point in _twin(system)], look)
        plane.system(name, in_millions(system["macs_mean"], system["accuracy"]), look)
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

    def estimate(point: Point) -> Point:
        return Point(frontier.time_of(point.macs, timed), 100 * point.accuracy, point.label)

    statics = {point.label: estimate(point) for point in frontier.static_points(report["static"])}
    measured = {entry.label: Point(entry.milliseconds, 100 * entry.accuracy, entry.label) for entry in timed}
    cascades = [estimate(point) for point in frontier.as_points(report.get("cascade_frontier") or [])]
    plane = Plane(f"Milliseconds per image, mean, one thread, {precision}", "Accuracy of the .tflite, %")
    plane.static(list({**statics, **measured}.values()), estimated=set(statics) - set(measured))
    plane.cascades(cascades, estimated=True)
    for name, look in style.look_of(list(report["systems"])).items():
        system = report["systems"][name]
        speed = system[precision]
        point = Point(speed["latency_dynamic_ms"], 100 * speed["accuracy"])
        plane.twin([estimate(each) for each in _twin(system)], look)
        plane.spread(speed.get("latency_p10_ms"), speed.get("latency_p90_ms"), point, look)
        plane.system(name, point, look)
    return plane.finish()


def _twin(system: Mapping[str, Any]) -> list[Point]:
    """The static twin at equal MACs, then the two patterns between which it was read."""
    equal = Point(system["macs_mean"], system["accuracy_static_twin"])
    return [equal, *frontier.as_points(system.get("static_twin") or [])]


def exits_against_macs(report: Mapping[str, Any], names: Sequence[str]) -> style.Figure:
    """Draws each exit of some networks, and the networks under budgets, beside the lines to beat.

    Args:
        report: The content of report.json.
        names: Systems of it with exits.

    Returns:
        The figure: the single exits dashed, the curves of budgets solid, those of limits for each image dotted, the
        systems' own points.

    Source:
        MSDNet, figure 7; IMTA, figures 2 and 3.
    """
    plane, looks = against_macs(report), style.look_of(list(report["systems"]))
    for name in names:
        system, look = report["systems"][name], looks[name]
        exits = [in_millions(row["macs"], row["accuracy"]) for row in system["exits"]]
        plane.curve("single exits", exits, look[0], "--", "o")
        if system.get("budgeted"):
            rows = sorted(in_millions(row["macs_mean"], row["accuracy"]) for row in system["budgeted"])
            plane.curve("under budgets", rows, look[0])
        if system.get("limits"):
            rows = sorted(in_millions(row["limit"], row["accuracy"]) for row in system["limits"])
            plane.curve("under limits", rows, look[0], ":", "s")
        plane.system(name, in_millions(system["macs_mean"], system["accuracy"]), look)
    return plane.finish()


def exits_against_milliseconds(figures: Mapping[str, Any]) -> style.Figure:
    """Draws the accuracy of a .tflite with exits under budgets of time.

    Args:
        figures: Of one precision: accuracies and exit_static_ms of the static models, and budgets, rows with ms and
            accuracy.

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


def thresholds_against_macs(system: Mapping[str, Any], look: tuple[str, str]) -> style.Figure:
    """Draws a network at many thresholds, at its own, with everything on, and with sampled decisions.

    Args:
        system: A system of report.json with tau_sweep, and perhaps inference.
        look: Colour and marker of the system.

    Returns:
        The figure.

    Source:
        Herrmann et al., figures 10 to 12.
    """
    plane = Plane("MACs per image, mean, millions", "Accuracy, %")
    rows = sorted(system["tau_sweep"], key=lambda row: row["macs_mean"])
    points = [in_millions(row["macs_mean"], row["accuracy"]) for row in rows]
    plane.curve(f"tau {rows[0]['tau']:g} to {rows[-1]['tau']:g}", points, look[0], marker="o")
    plane.system("own threshold", in_millions(system["macs_mean"], system["accuracy"]), look)
    ways = {"always_on": ("everything on", style.STATIC, "o"), "stochastic": ("sampled", style.INK, "D")}
    for row in system.get("inference", []):
        if row["mode"] in ways:
            words, colour, marker = ways[row["mode"]]
            plane.point(in_millions(row["macs_mean"], row["accuracy"], words), colour, marker)
    return plane.finish()
