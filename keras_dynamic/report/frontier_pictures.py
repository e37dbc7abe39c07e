"""Accuracy against MACs and against milliseconds, with the lines that a dynamic network has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_dynamic.report import frontier, style, timing
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.plane import Plane, against_macs, in_millions


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
    timed = timing.timed_static(report, precision)

    def drawn(point: Point) -> Point:
        return Point(timing.time_of(point.macs, timed), 100 * point.accuracy, point.label)

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
