"""The sections that every report has: what to take, does it pay, figures, times, one per system, a glossary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import curve_pictures, formatting, frontier
from keras_dynamic.report.advice import advice, files_of
from keras_dynamic.report.decision_sections import decisions_section
from keras_dynamic.report.exits import exits_comparison, exits_section
from keras_dynamic.report.schema import PerImage, check_report, precisions
from keras_dynamic.report.sections import Block, Cell, Picture, Section, Table, Text, table_of
from keras_dynamic.report.training_sections import gradient_section, inference_section


def default_sections(report: Mapping[str, Any]) -> list[Section]:
    """The sections of every report, in their order.

    Args:
        report: The content of report.json.

    Returns:
        Sections to which a method adds its own; all but the first two are folded.
    """
    makers = (system_section, exits_section, inference_section, decisions_section, gradient_section)
    return [
        Section("What to take", _advice, folded=False),
        Section("Does it pay?", _answer, folded=False),
        Section("The figures", _summary),
        Section("Accuracy against time", _times),
        exits_comparison(),
        *(make(name) for name in report["systems"] for make in makers),
        Section("What the words mean", _glossary),
    ]


def _advice(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    """What was compared, which file to take, and all files."""
    sentences = advice(report)
    if not sentences:
        return []
    rows: list[list[Cell | str]] = [
        [
            file.path,
            formatting.percent(file.accuracy),
            formatting.milliseconds(file.mean_ms),
            formatting.NOT_MEASURED if file.worst_ms is None else formatting.milliseconds(file.worst_ms),
            f"{file.size_bytes / 1e6:.2f} MB",
        ]
        for file in files_of(report)
    ]
    header = ["File, in the folder of this page", "Accuracy", "Time, mean", "Time, slowest input", "Size"]
    return [Text(sentences, listed=True), Table(header, rows)]


def _answer(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    """One sentence for each system, and one picture."""
    words = "; ".join(
        f"{name} {formatting.percent(system['accuracy'])} at {formatting.millions(system['macs_mean'])}"
        for name, system in report["systems"].items()
    )
    lines = {"static": "static line", "cascade_frontier": "cascade frontier"}
    missing = "".join(
        f" The {line} was not measured in this run." for key, line in lines.items() if not report.get(key)
    )
    caption = (
        "Accuracy (Keras, float32) against mean MACs. Above the lines a system does better than plain networks or "
        "cascades of them at its cost. Hollow squares and diamonds: the static twins, read at equal MACs between their "
        f"two patterns (dotted).{missing}"
    )
    figure, alternative = curve_pictures.accuracy_against_macs(report), f"Accuracy against MACs: {words}."
    picture = Picture("accuracy_macs", figure, caption, alternative, wide=True)
    return [*(Text([frontier.headline(report, name)]) for name in report["systems"]), picture]


_MARGINS = {
    "margin_static_twin": "Against its static twin, points",
    "margin_static_line": "Against the static line, points",
    "margin_cascade": "Against the cascade frontier, points",
}


def _summary(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    """One column for each static reference and each system."""
    exported = precisions(report)
    columns: dict[str, dict[str, Cell | str]] = {}
    for system in report["systems"].values():
        label, accuracy = frontier.reference_of(report, system)
        column = columns.setdefault(f"{label}, static", {})
        if not column:  # the first system of each reference
            column |= {"Accuracy": formatting.show("accuracy", accuracy), "Distinct paths": "1"}
            column["MACs, mean"] = formatting.millions(system["macs_static"])
            for precision in exported:
                speed = system[precision]
                column[f"Time, {precision}"] = formatting.milliseconds(speed["latency_static_ms"])
                shown = formatting.show("accuracy", speed.get("accuracy_static"))
                column[f"Accuracy of the .tflite, {precision}"] = shown
    names: list[str] = []
    for name in report["systems"]:
        columns[formatting.title_of(name)] = cells = _system_cells(report, name, exported)
        names = list(cells)
    rows: list[list[Cell | str]] = [[name, *(column.get(name, "") for column in columns.values())] for name in names]
    blocks: list[Block] = [Table(["", *columns], rows)]
    if report.get("images") and report["systems"]:
        best = max(report["systems"].values(), key=lambda system: system["accuracy"])
        error = 100 * frontier.standard_error(report, best)
        sentence = (
            f"Measured on {report['images']:,} images: the standard error of an accuracy near "
            f"{formatting.percent(best['accuracy'], 1)} is {error:.2f} points, so smaller differences settle little."
        )
        blocks.append(Text([sentence], listed=True))
    return blocks


def _system_cells(report: Mapping[str, Any], name: str, exported: Sequence[str]) -> dict[str, Cell | str]:
    system, word = report["systems"][name], frontier.judge(report, name).word
    cells: dict[str, Cell | str] = {
        "Verdict": Cell(word, tone="good" if word == frontier.DYNAMIC else "bad"),
        "Accuracy": formatting.percent(system["accuracy"]),
        "MACs, mean": _of_static("macs_mean", system["macs_mean"], system["macs_static"]),
    }
    for precision in exported:
        speed = system[precision]
        times = speed["latency_dynamic_ms"], speed["latency_static_ms"]
        cells[f"Time, {precision}"] = _of_static("latency_dynamic_ms", *times)
    for precision in exported:
        cells[f"Accuracy of the .tflite, {precision}"] = formatting.percent(system[precision]["accuracy"])
    for precision in exported:
        overhead, with_decider = (
            formatting.show("overhead", system[precision][key]) for key in ("overhead", "overhead_with_decider")
        )
        cells[f"Overhead, {precision}"] = Cell(overhead, f"{with_decider} with decider")
    cells["Distinct paths"] = formatting.show("distinct_paths", system["distinct_paths"])
    margins, error = frontier.margins_of(report, name), frontier.standard_error(report, system)
    for key, words in _MARGINS.items():
        margin = margins.get(key)
        tone = "" if margin is None or abs(margin) < error else "good" if margin > 0 else "bad"
        cells[words] = Cell(formatting.show(key, margin).removesuffix(" points"), tone=tone)
    return cells


def _of_static(figure: str, value: float, static: float) -> Cell:
    return Cell(formatting.show(figure, value), f"{formatting.percent(value / static, 0)} of static")


def _times(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    blocks: list[Block] = []
    for precision in precisions(report):
        words = "; ".join(
            f"{name} {formatting.percent(system[precision]['accuracy'])} "
            f"at {formatting.milliseconds(system[precision]['latency_dynamic_ms'])}"
            for name, system in report["systems"].items()
        )
        caption = (
            f"Accuracy of the {precision} .tflite against measured time; bars: 10th to 90th percentile over images. "
            "Hollow points were not timed: their time is that of their MACs at the timed static networks' time per "
            "MAC, their accuracy Keras'."
        )
        if frontier.timed_static(report, precision):
            figure = curve_pictures.accuracy_against_time(report, precision)
            alternative = f"Accuracy against milliseconds in {precision}: {words}."
            blocks.append(Picture(f"accuracy_ms_{precision}", figure, caption, alternative))
    return blocks


_SPEED = (
    "latency_static_ms",
    "latency_all_on_ms",
    "latency_dynamic_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_max_ms",
    "decider_ms",
    "overhead",
    "overhead_with_decider",
    "accuracy_static",
    "accuracy",
    "macs_mean",
    "decisions_changed",
    "size_static_bytes",
    "size_bytes",
)
_WORDS = (
    "MACs are multiply-accumulates of one image, deciders and gates included.",
    "Static twin: the same weights under one fixed pattern of units for all images, at equal mean MACs. Only what "
    "beats it is dynamic; the rest is merely pruned.",
    "Static line: the line over the upper hull of the plain networks. Cascade frontier: the same for cascades of plain "
    "networks, which need no training.",
    "Units run: of those that can be skipped. Each decision counts as one, that of a channel group or of a cascade's "
    "network too.",
)
_EXPORTED_WORDS = (
    "Accuracy without further words is Keras' in float32; that of a .tflite stands beside its times.",
    "Times are means over images of each image's median, on one thread, static and dynamic interleaved on the same "
    "images.",
    "Overhead: time of the dynamic model without its deciders, over the measured time of the units that each image "
    "runs. 1.000x is the best possible: skipping costs nothing but what is run.",
)


def system_section(name: str) -> Section:
    """The verdict on one system in sentences, and its times.

    Args:
        name: A system of the report.

    Returns:
        The section.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system, exported = report["systems"][name], precisions(report)
        sentences = [*frontier.judge(report, name).sentences, *(_speed(system, precision) for precision in exported)]
        blocks: list[Block] = [Text(sentences, listed=True)]
        if exported:
            speeds = {precision: system[precision] for precision in exported}
            columns = {"": formatting.name_of} | {
                precision: lambda key, speed=speed: formatting.show(key, speed.get(key))
                for precision, speed in speeds.items()
            }
            measured = [key for key in _SPEED if any(speed.get(key) is not None for speed in speeds.values())]
            blocks.append(table_of(measured, columns, "Times and files"))
        if exported and all(system[precision].get("unit_ms") for precision in exported):
            units = dict.fromkeys(unit for precision in exported for unit in system[precision]["unit_ms"])
            columns = {"": lambda unit: unit} | {
                precision: lambda unit, times=system[precision]["unit_ms"]: formatting.show("unit_ms", times.get(unit))
                for precision in exported
            }
            caption = "Measured time per unit, in the static graph that runs everything"
            blocks.append(table_of(units, columns, caption))
        return blocks

    return Section(formatting.title_of(name), render)


def _speed(system: Mapping[str, Any], precision: str) -> str:
    speed = system[precision]
    share = formatting.percent(speed["latency_dynamic_ms"] / speed["latency_static_ms"], 0)
    macs = formatting.percent(system["macs_mean"] / system["macs_static"], 0)
    dynamic, static = (formatting.milliseconds(speed[f"latency_{which}_ms"]) for which in ("dynamic", "static"))
    overhead, with_decider = (formatting.show("overhead", speed[key]) for key in ("overhead", "overhead_with_decider"))
    return (
        f"In {precision} it takes {share} of the static network's time ({dynamic} of {static}) for {macs} of its MACs: "
        f"{overhead} the time of what it runs, {with_decider} with its deciders."
    )


def _glossary(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    return [Text(_WORDS + (_EXPORTED_WORDS if precisions(report) else ()), listed=True)]


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
    rows = {"": ["accuracy", "MACs", *times, "paths", "verdict"]}
    for system in report["systems"].values():
        label, accuracy = frontier.reference_of(report, system)
        times = [_beside(f"{system[precision]['latency_static_ms']:.2f}") for precision in exported]
        overhead = [""] if exported else []
        cells = [formatting.show("accuracy", accuracy), _beside(formatting.millions(system["macs_static"]))]
        rows.setdefault(f"{label}, static", [*cells, *times, *overhead, "1", ""])
    for name, system in report["systems"].items():
        macs = _beside(formatting.millions(system["macs_mean"]), system["macs_mean"] / system["macs_static"])
        times = []
        for precision in exported:
            dynamic, static = (system[precision][f"latency_{which}_ms"] for which in ("dynamic", "static"))
            times.append(_beside(f"{dynamic:.2f}", dynamic / static))
        if exported:
            times.append(" / ".join(f"{system[precision]['overhead']:.2f}" for precision in exported))
        word = frontier.judge(report, name).word.removeprefix("merely ")
        cells = [formatting.percent(system["accuracy"]), macs, *times, f"{system['distinct_paths']:,}", word]
        rows[name] = cells
    first = max(len(name) for name in rows)
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    lines = []
    for name, cells in rows.items():
        *numbers, last = (f"{text:>{width}}" for text, width in zip(cells, widths, strict=True))
        lines.append("  ".join([f"{name:<{first}}", *numbers, last.strip()]).rstrip())
    lines.insert(1, "  ".join("-" * width for width in (first, *widths)))
    return "\n".join(lines)


def _beside(text: str, share: float | None = None) -> str:
    """A figure and its share of the static one, in columns that line up."""
    return f"{text}{'' if share is None else f'{100 * share:.0f} %':>6}"
