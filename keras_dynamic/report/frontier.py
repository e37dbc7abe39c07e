"""Lines to beat, in MACs and milliseconds, and the verdicts that follow: dynamic or merely pruned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.report import formatting
from keras_dynamic.report.schema import PRECISIONS

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

    What lies to the right of the most accurate point costs more and is worse, so it is no part of the line. Points on a
    straight stretch are dropped, as are all but the best of equal cost.

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


class Timed(NamedTuple):
    """A static network whose .tflite was timed.

    Attributes:
        macs: MACs of one image.
        milliseconds: Mean latency of one image.
        accuracy: Accuracy of that .tflite, a fraction.
        label: Name of the network.
    """

    macs: float
    milliseconds: float
    accuracy: float
    label: str


def timed_static(report: Mapping[str, Any], precision: str) -> list[Timed]:
    """The static networks whose time a report holds.

    Args:
        report: The content of report.json. A static network may carry {precision: {"latency_ms", "accuracy"}}; each
            system's static reference is timed in any case.
        precision: 'float32' or 'int8'.

    Returns:
        One entry per network, cheapest first; where two systems timed the same reference, the first one's figures.
    """
    found: dict[float, Timed] = {}
    for point in static_points(report["static"]):
        speed = report["static"][point.label].get(precision)
        if speed:
            found[point.macs] = Timed(point.macs, speed["latency_ms"], speed["accuracy"], point.label)
    for system in report["systems"].values():
        label, accuracy = reference_of(report, system)
        accuracy = system[precision].get("accuracy_static", accuracy)
        if accuracy is not None and system["macs_static"] not in found:
            macs, milliseconds = system["macs_static"], system[precision]["latency_static_ms"]
            found[macs] = Timed(macs, milliseconds, accuracy, label)
    return sorted(found.values())


def reference_of(report: Mapping[str, Any], system: Mapping[str, Any]) -> tuple[str, float | None]:
    """The static network that a system is compared with.

    Args:
        report: The content of report.json.
        system: A system of it.

    Returns:
        Name and accuracy of the static network that the system names as its reference, or of that with its macs_static;
        ('static network', None) if none has.
    """
    if system.get("reference") in report["static"]:
        return system["reference"], report["static"][system["reference"]]["accuracy"]
    for name, entry in report["static"].items():
        if entry["macs"] == system["macs_static"]:
            return name, entry["accuracy"]
    return "static network", None


def time_of(macs: float, timed: Sequence[Timed]) -> float:
    """Estimates a network's time from its MACs.

    Args:
        macs: MACs of one image.
        timed: Networks that were timed, at least one, cheapest first.

    Returns:
        Milliseconds: on the straight lines from (0, 0) through the timed networks, and beyond the last at its time per
        MAC.

    Raises:
        ValueError: If nothing was timed.
    """
    if not timed:
        raise ValueError("Expected at least one timed static network, got none; give the time of the static reference.")
    last = timed[-1]
    if macs > last.macs:
        return macs * last.milliseconds / last.macs
    costs = [0.0, *(entry.macs for entry in timed)]
    times = [0.0, *(entry.milliseconds for entry in timed)]
    return float(np.interp(macs, costs, times))


DYNAMIC, PRUNED = "dynamic", "merely pruned"
PAYS, BREAKS_EVEN, DOES_NOT_PAY = "pays", "breaks even", "does not pay"
_LINES = {
    "margin_static_twin": "its static twin",
    "margin_static_line": "the static line",
    "margin_cascade": "the cascade frontier",
}
_PLAIN, _CASCADES = "plain networks", "cascades of plain networks"
_NOTHING = 5e-5  # half of the last digit that is printed


class Verdict(NamedTuple):
    """What follows from the figures of one system.

    Attributes:
        word: DYNAMIC or PRUNED.
        sentences: One per yardstick, in words.
    """

    word: str
    sentences: tuple[str, ...]


def margins_of(report: Mapping[str, Any], name: str) -> dict[str, float]:
    """The margins of a system: those that it states itself, the rest read off the report's lines.

    Args:
        report: The content of report.json.
        name: A system of it.

    Returns:
        margin_static_line, margin_static_twin, margin_cascade as fractions, without those that were not measured.
    """
    system = report["systems"][name]
    result = margins(system, report.get("static"), report.get("cascade_frontier"))
    stated = {key: system[key] for key in MARGINS if system.get(key) is not None}
    return {**result, **stated}


def judge(report: Mapping[str, Any], name: str) -> Verdict:
    """Says whether a system is dynamic, and how it compares with each line.

    It is dynamic if images take different paths, another image's decisions make it worse, and it beats its static twin;
    otherwise it is merely pruned. What was not measured does not count against it, save the static twin.

    Args:
        report: The content of report.json; with "images", differences under the standard error are called so.
        name: A system of it, with at least accuracy, accuracy_static_twin and macs_mean.

    Returns:
        The verdict.
    """
    system, margins = report["systems"][name], margins_of(report, name)
    varied = system.get("distinct_paths", 2) > 1
    depends = varied and system["accuracy"] - system.get("accuracy_shuffled", 0.0) > _NOTHING
    error, at = standard_error(report, system), f"at {formatting.millions(system['macs_mean'])} MACs"
    sentences = [
        _paths(system),
        _shuffled(system),
        _twin(margins["margin_static_twin"], depends, error),
        _line(margins.get("margin_static_line"), f"the line through the static networks {at}", _PLAIN, error),
        _line(margins.get("margin_cascade"), f"the cascade frontier {at}", _CASCADES, error),
    ]
    word = DYNAMIC if depends and margins["margin_static_twin"] > 0 else PRUNED
    return Verdict(word, tuple(sentence for sentence in sentences if sentence))


def headline(report: Mapping[str, Any], name: str) -> str:
    """Answers in one sentence whether a system pays.

    It does not if it is merely pruned, by more than the standard error of its accuracy, is in no precision faster than
    the static network, or lies under any measured line by more than that error. Of the rest, what lies within that
    error of the static line or of its static twin breaks even.

    Args:
        report: The content of report.json.
        name: A system of it.

    Returns:
        For example 'Gated pays: accuracy 92.40 % at 73 % of the MACs and 76 % (float32) of the time of resnet32, 0.20
        points above the static line.'
    """
    system, found = report["systems"][name], margins_of(report, name)
    error = standard_error(report, system)
    twin = found.get("margin_static_twin")
    # Under its twin by less than the error, it may be either.
    pruned = judge(report, name).word == PRUNED and not (twin is not None and -error < twin < 0)
    reference, known = reference_of(report, system)
    times = {
        precision: system[precision]["latency_dynamic_ms"] / system[precision]["latency_static_ms"]
        for precision in PRECISIONS
        if precision in system
    }
    slow = bool(times) and min(times.values()) >= 1
    nothing = max(error, _NOTHING)
    if pruned or slow or min(found.values()) < -nothing:
        answer = DOES_NOT_PAY
    else:
        static = [margin for line, margin in found.items() if line != "margin_cascade"]
        answer = BREAKS_EVEN if min(static) < nothing else PAYS
    reasons = [reason for reason, holds in ((PRUNED, pruned), ("no faster", slow)) if holds]
    because = f" ({' and '.join(reasons)})" if reasons else ""
    shown = [line for line in found if line != "margin_static_twin" or found[line] <= 0 or len(found) == 1]
    places = " and ".join(f"{_where(found[line])} {_LINES[line]}{_doubt(found[line], error)}" for line in shown)
    timed = " and ".join(f"{formatting.percent(ratio, 0)} ({precision})" for precision, ratio in times.items())
    return (
        f"{formatting.title_of(name)} {answer}{because}: accuracy {formatting.percent(system['accuracy'])} at "
        f"{formatting.percent(system['macs_mean'] / system['macs_static'], 0)} of the MACs"
        f"{f' and {timed} of the time' if timed else ''} of {reference if known else 'the static network'}, {places}."
    )


def standard_error(report: Mapping[str, Any], system: Mapping[str, Any]) -> float:
    """Standard error of a system's accuracy.

    Args:
        report: The content of report.json, perhaps with "images", the number that accuracies were measured on.
        system: A system of it.

    Returns:
        A fraction; 0 where the number of images is not known.
    """
    return error_of(system["accuracy"], report["images"]) if report.get("images") else 0.0


def error_of(accuracy: float, images: int) -> float:
    """Standard error of an accuracy, sqrt(p (1 - p) / n).

    Args:
        accuracy: A fraction.
        images: That it was measured on.

    Returns:
        A fraction.
    """
    return math.sqrt(accuracy * (1 - accuracy) / images)


def _paths(system: Mapping[str, Any]) -> str:
    if "distinct_paths" not in system:
        return ""
    if system["distinct_paths"] <= 1:
        return "All images take the same path."
    spread = system.get("macs_std")
    ending = "" if spread is None else f"; the standard deviation of their MACs is {formatting.millions(spread)}"
    return f"Images take {system['distinct_paths']:,.0f} distinct paths{ending}."


def _shuffled(system: Mapping[str, Any]) -> str:
    if "accuracy_shuffled" not in system:
        return ""
    loss = system["accuracy"] - system["accuracy_shuffled"]
    if loss <= _NOTHING:
        return "Under another image's decisions it is no worse, so its decisions do not depend on the image."
    return f"Under another image's decisions it loses {_distance(loss)}, so its decisions depend on the image."


def _twin(margin: float, depends: bool, error: float) -> str:
    twin = "its static twin, the same weights under one fixed pattern at equal MACs"
    if margin <= 0:
        return f"It is {_where(margin)} {twin}: it is merely pruned{_doubt(margin, error)}."
    ending = "choosing by image pays" if depends else "but nothing is chosen by image"
    return f"It is {_where(margin)} {twin}: {ending}{_doubt(margin, error)}."


def _line(margin: float | None, line: str, rivals: str, error: float) -> str:
    if margin is None:
        return ""
    doubt = _doubt(margin, error)
    ending = f": {rivals} do better at that cost" if margin < 0 and not doubt else ""
    return f"It is {_where(margin)} {line}{ending}{doubt}."


def _doubt(margin: float, error: float) -> str:
    return f" (less than the standard error, {_distance(error)})" if abs(margin) < error else ""


def _where(margin: float) -> str:
    if _distance(margin) == "0.00 points":
        return "level with"
    return f"{_distance(margin)} {'above' if margin > 0 else 'under'}"


def _distance(margin: float) -> str:
    return f"{100 * abs(margin):.2f} points"
