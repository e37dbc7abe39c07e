"""Which file to take, and whether a difference is settled, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_dynamic.report import formatting, frontier
from keras_dynamic.report.schema import precisions


class File(NamedTuple):
    """One .tflite of a report.

    Attributes:
        path: below the report's folder.
        system: name of the system; '' of the static network.
        accuracy: of the file, a fraction.
        mean_ms: mean time of an image.
        worst_ms: of the slowest image; None where it was not measured.
        size_bytes: of the file.
    """

    path: str
    system: str
    accuracy: float
    mean_ms: float
    worst_ms: float | None
    size_bytes: int


def files_of(report: Mapping[str, Any]) -> list[File]:
    """The .tflite files that a report has measured, those of the static network first.

    Args:
        report: The content of report.json.
    """
    found: dict[str, File] = {}
    for name, system in report["systems"].items():
        for precision in precisions(report):
            speed = system[precision]
            time, path = speed["latency_static_ms"], f"models/static_{precision}.tflite"
            if "accuracy_static" in speed:
                size = speed["size_static_bytes"]
                found.setdefault(path, File(path, "", speed["accuracy_static"], time, time, size))
            path = f"models/{name}_{precision}.tflite"
            times = speed["latency_dynamic_ms"], speed.get("latency_max_ms")
            found[path] = File(path, name, speed["accuracy"], *times, speed["size_bytes"])
    return sorted(found.values(), key=lambda file: file.system != "")


def advice(report: Mapping[str, Any]) -> list[str]:
    """Says what was compared, which file to take, and whether its accuracy differs from the static network's.

    The file to take is the fastest on average of those whose accuracy is within a standard error of the best.

    Args:
        report: The content of report.json, with "images".

    Returns:
        Sentences; none where no file was measured.
    """
    files, images = files_of(report), report.get("images")
    if not files or not images:
        return []
    best = max(files, key=lambda file: file.accuracy)
    taken = min(
        (file for file in files if file.accuracy >= best.accuracy - frontier.error_of(best.accuracy, images)),
        key=lambda file: file.mean_ms,
    )
    names = " and ".join(report["systems"])
    reference = frontier.reference_of(report, next(iter(report["systems"].values())))[0]
    chosen_on = (
        f", thresholds and int8 ranges were chosen on {report['held_out']:,} others" if "held_out" in report else ""
    )
    worst = "" if taken.worst_ms is None or not taken.system else f", {formatting.milliseconds(taken.worst_ms)} at most"
    sentences = [
        f"This page compares {names} with {reference}, a network that does the same work for every input. All was "
        f"judged on {images:,} test inputs{chosen_on}.",
        f"Take {taken.path}: {formatting.percent(taken.accuracy)} right, {formatting.milliseconds(taken.mean_ms)} per "
        f"input on average{worst}, {taken.size_bytes / 1e6:.2f} MB. It is the fastest of those with an accuracy within "
        "a standard error of the best.",
    ]
    promise = report.get("promise")
    if promise and promise["p_value"] <= promise["delta"]:
        sentences.append(
            f"The held-out inputs show, with probability {1 - promise['delta']:g}, that on new ones of the same kind "
            f"the dynamic one's error exceeds the whole network's by at most {100 * promise['risk']:g} points (Keras, "
            "float32)."
        )
    elif promise:
        sentences.append("Nothing could be shown about the errors of the dynamic one on the held-out inputs.")
    precision = taken.path.rpartition("_")[2]
    static = next((file for file in files if not file.system and file.path.endswith(precision)), None)
    if not taken.system:
        sentences.append("That is the static network: being dynamic does not pay here.")
    elif static is not None:
        sentences.append(_against(taken, static, images))
    return sentences


def _against(taken: File, static: File, images: int) -> str:
    difference = taken.accuracy - static.accuracy
    error = math.hypot(frontier.error_of(taken.accuracy, images), frontier.error_of(static.accuracy, images))
    where = "level"
    if round(1e4 * difference):
        where = f"{100 * abs(difference):.2f} points {'above' if difference > 0 else 'under'} it"
    settled = "more" if abs(difference) > 2 * error else "less"
    ending = "" if settled == "more" else f", so {images:,} inputs do not settle it"
    return (
        f"The static network in the same precision takes {formatting.milliseconds(static.mean_ms)} for every input and "
        f"is {formatting.percent(static.accuracy)} right. The dynamic one is {where}, {settled} than twice the "
        f"standard error of such a difference, {100 * error:.2f} points{ending}."
    )
