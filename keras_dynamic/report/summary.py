"""The first section of a report: static against dynamic in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_dynamic.report import formatting, timing, verdicts
from keras_dynamic.report.schema import PerImage, precisions
from keras_dynamic.report.sections import Block, Cell, Section, Table, Text

_LINES = {
    "margin_static_twin": "Against its static twin, points",
    "margin_static_line": "Against the static line, points",
    "margin_cascade": "Against the cascade frontier, points",
}


def summary_section() -> Section:
    """The summary.

    Returns:
        A section with one column per static reference and one per system.
    """
    return Section("Summary", _render)


def _render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    references = _references(report)
    systems = report["systems"]
    header = ["", *(f"{name}, static" for name in references), *(formatting.title_of(name) for name in systems)]
    rows: list[list[Cell | str]] = []

    def add(name: str, of_reference, of_system) -> None:
        fixed = [of_reference(reference) for reference in references.values()]
        rows.append([name, *fixed, *(of_system(system_name) for system_name in systems)])

    def nothing(_) -> str:
        return ""

    add("Verdict", nothing, lambda name: _verdict(report, name))
    add("Accuracy", lambda first: _shown("accuracy", first["accuracy"]), lambda name: _accuracy(systems[name]))
    add("MACs, mean", lambda first: _shown("macs", first["macs"]), lambda name: _macs(systems[name]))
    exported = precisions(report)
    for precision in exported:
        add(
            f"Time, {precision}",
            lambda first, p=precision: _shown("latency_ms", first[p]["latency_static_ms"]),
            lambda name, p=precision: _time(systems[name][p]),
        )
    for precision in exported:
        add(
            f"Accuracy of the .tflite, {precision}",
            lambda first, p=precision: _shown("accuracy", first[p].get("accuracy_static")),
            lambda name, p=precision: _shown("accuracy", systems[name][p]["accuracy"]),
        )
    for precision in exported:
        add(f"Overhead, {precision}", nothing, lambda name, p=precision: _overhead(systems[name][p]))
    add("Distinct paths", lambda _: "1", lambda name: _shown("distinct_paths", systems[name]["distinct_paths"]))
    for key, words in _LINES.items():
        add(words, nothing, lambda name, k=key: _margin(report, name, k))
    return [Table(header, rows), Text(_remarks(report), listed=True)]


def _references(report: Mapping[str, Any]) -> dict[str, dict]:
    """The static networks that systems are compared with, with the figures of the first system that has each."""
    found: dict[str, dict] = {}
    for system in report["systems"].values():
        label, accuracy = timing.reference_of(report, system)
        first = {"accuracy": accuracy, "macs": system["macs_static"]}
        found.setdefault(label, {**first, **{precision: system[precision] for precision in precisions(report)}})
    return found


def _remarks(report: Mapping[str, Any]) -> list[str]:
    sentences = [verdicts.headline(report, name) for name in report["systems"]]
    if report.get("images") and report["systems"]:
        best = max(report["systems"].values(), key=lambda system: system["accuracy"])
        error = 100 * verdicts.standard_error(report, best)
        sentences.append(
            f"Measured on {report['images']:,} images: the standard error of an accuracy near "
            f"{formatting.percent(best['accuracy'], 1)} is {error:.2f} points, so smaller differences settle little."
        )
    return sentences


def _shown(figure: str, value: float | None) -> str:
    return formatting.show(figure, value)


def _verdict(report: Mapping[str, Any], name: str) -> Cell:
    word = verdicts.judge(report, name).word
    return Cell(word, tone="good" if word == verdicts.DYNAMIC else "bad")


def _accuracy(system: Mapping[str, Any]) -> Cell:
    return Cell(_shown("accuracy", system["accuracy"]))


def _macs(system: Mapping[str, Any]) -> Cell:
    share = system["macs_mean"] / system["macs_static"]
    return Cell(_shown("macs", system["macs_mean"]), f"{formatting.percent(share, 0)} of static")


def _time(speed: Mapping[str, Any]) -> Cell:
    share = speed["latency_dynamic_ms"] / speed["latency_static_ms"]
    return Cell(_shown("latency_ms", speed["latency_dynamic_ms"]), f"{formatting.percent(share, 0)} of static")


def _overhead(speed: Mapping[str, Any]) -> Cell:
    with_decider = _shown("overhead", speed["overhead_with_decider"])
    return Cell(_shown("overhead", speed["overhead"]), f"{with_decider} with decider")


def _margin(report: Mapping[str, Any], name: str, key: str) -> Cell:
    margin = verdicts.margins_of(report, name).get(key)
    if margin is None:
        return Cell(formatting.NOT_MEASURED)
    error = verdicts.standard_error(report, report["systems"][name])
    tone = "" if abs(margin) < error else "good" if margin > 0 else "bad"
    return Cell(formatting.points(margin).removesuffix(" points"), tone=tone)
