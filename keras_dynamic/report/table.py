"""The short table that the main job ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import formatting, timing, verdicts
from keras_dynamic.report.schema import check_report, precisions

_WORDS = {verdicts.DYNAMIC: "dynamic", verdicts.PRUNED: "pruned"}


def short_table(report: Mapping[str, Any]) -> str:
    """Prints a report's systems beside the static networks that they are compared with.

    Args:
        report: The content of report.json.

    Returns:
        Lines of plain text, at most 100 columns for names of at most 16 letters: accuracy (Keras), mean MACs and mean
        times with their share of the static reference's, overhead in float32 / int8, distinct paths and the verdict;
        times and overhead only where the systems were exported; without a newline at the end.

    Raises:
        ValueError: If a key that every report has is missing.
    """
    check_report(report)
    exported = precisions(report)
    times = [*(f"{precision} ms" for precision in exported), *(["overhead"] if exported else [])]
    rows: list[Sequence[str]] = [["", "accuracy", "MACs", *times, "paths", "verdict"]]
    seen: set[str] = set()
    for system in report["systems"].values():
        label, accuracy = timing.reference_of(report, system)
        if label not in seen:
            seen.add(label)
            rows.append(_static_row(label, accuracy, system, exported))
    rows += [_system_row(report, name, exported) for name in report["systems"]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _static_row(label: str, accuracy: float | None, system: Mapping[str, Any], exported: Sequence[str]) -> list[str]:
    times = [_beside(f"{system[precision]['latency_static_ms']:.2f}") for precision in exported]
    macs, no_overhead = formatting.millions(system["macs_static"]), [""] if exported else []
    return [f"{label}, static", formatting.show("accuracy", accuracy), _beside(macs), *times, *no_overhead, "1", ""]


def _system_row(report: Mapping[str, Any], name: str, exported: Sequence[str]) -> list[str]:
    system = report["systems"][name]
    macs = _beside(formatting.millions(system["macs_mean"]), system["macs_mean"] / system["macs_static"])
    times = []
    for precision in exported:
        dynamic, static = (system[precision][f"latency_{which}_ms"] for which in ("dynamic", "static"))
        times.append(_beside(f"{dynamic:.2f}", dynamic / static))
    if exported:
        times.append(" / ".join(f"{system[precision]['overhead']:.2f}" for precision in exported))
    paths, word = f"{system['distinct_paths']:,}", _WORDS[verdicts.judge(report, name).word]
    return [name, formatting.show("accuracy", system["accuracy"]), macs, *times, paths, word]


def _beside(text: str, share: float | None = None) -> str:
    """A figure and its share of the static one, in columns that line up."""
    return f"{text}{'' if share is None else f'{100 * share:.0f} %':>6}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others[:-1]), row[-1]]
    return "  ".join(cells).rstrip()
