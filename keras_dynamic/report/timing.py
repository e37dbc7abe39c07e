"""Placing what was not timed on an axis of milliseconds, by its MACs and the networks that were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.report import frontier


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
    for point in frontier.static_points(report["static"]):
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
        Name and accuracy of the static network with the system's macs_static; ('static network', None) if none has.
    """
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
