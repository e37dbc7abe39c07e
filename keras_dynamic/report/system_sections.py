"""The sections that every report has: summary, frontiers, one per system, a glossary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import curve_pictures, decision_pictures, formatting, frontier, style
from keras_dynamic.report.decision_sections import analysis_section, polarisation_section
from keras_dynamic.report.exits import exits_comparison, exits_section
from keras_dynamic.report.schema import PerImage, check_report, precisions
from keras_dynamic.report.sections import Block, Cell, Picture, Section, Table, Text
from keras_dynamic.report.training_sections import gradient_section, inference_section

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
        label, accuracy = frontier.reference_of(report, system)
        first = {"accuracy": accuracy, "macs": system["macs_static"]}
        found.setdefault(label, {**first, **{precision: system[precision] for precision in precisions(report)}})
    return found


def _remarks(report: Mapping[str, Any]) -> list[str]:
    sentences = [frontier.headline(report, name) for name in report["systems"]]
    if report.get("images") and report["systems"]:
        best = max(report["systems"].values(), key=lambda system: system["accuracy"])
        error = 100 * frontier.standard_error(report, best)
        sentences.append(
            f"Measured on {report['images']:,} images: the standard error of an accuracy near "
            f"{formatting.percent(best['accuracy'], 1)} is {error:.2f} points, so smaller differences settle little."
        )
    return sentences


def _shown(figure: str, value: float | None) -> str:
    return formatting.show(figure, value)


def _verdict(report: Mapping[str, Any], name: str) -> Cell:
    word = frontier.judge(report, name).word
    return Cell(word, tone="good" if word == frontier.DYNAMIC else "bad")


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
    margin = frontier.margins_of(report, name).get(key)
    if margin is None:
        return Cell(formatting.NOT_MEASURED)
    error = frontier.standard_error(report, report["systems"][name])
    tone = "" if abs(margin) < error else "good" if margin > 0 else "bad"
    return Cell(formatting.points(margin).removesuffix(" points"), tone=tone)


_ROW_NAMES = {frontier.DYNAMIC: "dynamic", frontier.PRUNED: "pruned"}


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
        label, accuracy = frontier.reference_of(report, system)
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
    paths, word = f"{system['distinct_paths']:,}", _ROW_NAMES[frontier.judge(report, name).word]
    return [name, formatting.show("accuracy", system["accuracy"]), macs, *times, paths, word]


def _beside(text: str, share: float | None = None) -> str:
    """A figure and its share of the static one, in columns that line up."""
    return f"{text}{'' if share is None else f'{100 * share:.0f} %':>6}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others[:-1]), row[-1]]
    return "  ".join(cells).rstrip()


_SPEED = (
    ("latency_static_ms", "Static network"),
    ("latency_all_on_ms", "Dynamic, everything on"),
    ("latency_dynamic_ms", "Dynamic"),
    ("latency_p10_ms", "Dynamic, 10th percentile of images"),
    ("latency_p90_ms", "Dynamic, 90th percentile of images"),
    ("decider_ms", "Deciders alone"),
    ("overhead", "Overhead"),
    ("overhead_with_decider", "Overhead with decider"),
    ("accuracy_static", "Accuracy of the static .tflite"),
    ("accuracy", "Accuracy of the dynamic .tflite"),
    ("macs_mean", "MACs, mean"),
    ("decisions_changed", "Decisions that differ from Keras"),
    ("size_static_bytes", "Size of the static .tflite"),
    ("size_bytes", "Size of the dynamic .tflite"),
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


def default_sections(report: Mapping[str, Any]) -> list[Section]:
    """The sections of every report, in their order.

    Args:
        report: The content of report.json.

    Returns:
        Sections to which a method adds its own.
    """
    makers = (
        system_section,
        exits_section,
        inference_section,
        analysis_section,
        polarisation_section,
        gradient_section,
    )
    own = [make(name) for name in report["systems"] for make in makers]
    return [
        summary_section(),
        Section("Accuracy against cost", _frontiers),
        exits_comparison(),
        *own,
        Section("MACs of single images", _distribution),
        Section("What the words mean", _glossary),
    ]


def system_section(name: str) -> Section:
    """What one system is worth, in words, times and pictures.

    Args:
        name: A system of the report.

    Returns:
        The section.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        verdict = frontier.judge(report, name)
        exported = precisions(report)
        speeds = [_speed_sentence(system, precision) for precision in exported]
        blocks: list[Block] = [
            Text([frontier.headline(report, name)]),
            Text([*verdict.sentences, *speeds], listed=True),
        ]
        if system.get("activation_rates"):
            blocks.append(_rates(name, system, style.look_of(list(report["systems"]))[name][0]))
        if name in evaluations:
            blocks.append(_paths(name, evaluations[name]))
        if exported:
            blocks.append(_speed_table(system, exported))
            if all(system[precision].get("unit_ms") for precision in exported):
                blocks.append(_unit_table(system, exported))
        return blocks

    return Section(formatting.title_of(name), render)


def _frontiers(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    words = "; ".join(
        f"{name} {formatting.percent(system['accuracy'])} at {formatting.millions(system['macs_mean'])}"
        for name, system in report["systems"].items()
    )
    lines = {"static": "static line", "cascade_frontier": "cascade frontier"}
    missing = "".join(
        f" The {line} was not measured in this run." for key, line in lines.items() if not report.get(key)
    )
    twins = "Hollow squares and diamonds: the static twins, read at equal MACs between their two patterns (dotted)."
    blocks: list[Block] = [
        Picture(
            "accuracy_macs",
            curve_pictures.accuracy_against_macs(report),
            f"Accuracy (Keras, float32) against mean MACs. {twins}{missing}",
            f"Accuracy against MACs: {words}.",
            wide=True,
        )
    ]
    for precision in precisions(report):
        if not frontier.timed_static(report, precision):
            continue
        times = "; ".join(
            f"{name} {formatting.percent(system[precision]['accuracy'])} "
            f"at {formatting.milliseconds(system[precision]['latency_dynamic_ms'])}"
            for name, system in report["systems"].items()
        )
        blocks.append(
            Picture(
                f"accuracy_ms_{precision}",
                curve_pictures.accuracy_against_time(report, precision),
                f"Accuracy of the {precision} .tflite against measured time; bars: 10th to 90th percentile over "
                "images. Hollow points were not timed: their time is that of their MACs at the timed static networks' "
                "time per MAC, their accuracy Keras'.",
                f"Accuracy against milliseconds in {precision}: {times}.",
            )
        )
    return blocks


def _glossary(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    return [Text(_WORDS + (_EXPORTED_WORDS if precisions(report) else ()), listed=True)]


def _distribution(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
    if not evaluations:
        return []
    words = "; ".join(
        f"{name} mean {formatting.millions(report['systems'][name]['macs_mean'])}, "
        f"standard deviation {formatting.millions(report['systems'][name]['macs_std'])}"
        for name in evaluations
    )
    figure = decision_pictures.macs_distribution(report, evaluations)
    caption = "How many images cost how much; the dashed lines are the system's mean and its static reference."
    return [Picture("macs_per_image", figure, caption, f"MACs per image: {words}.", wide=True)]


def _rates(name: str, system: Mapping[str, Any], colour: str) -> Picture:
    rates = system["activation_rates"]
    drawn = decision_pictures.rates_to_draw(rates)
    words = ", ".join(f"{unit} {formatting.percent(float(rate), 0)}" for unit, rate in drawn.items())
    caption = "Activation rate: share of images that run each unit, in the network's order."
    if len(drawn) < len(rates):
        caption += " A unit's is the mean over its channel groups."
    figure = decision_pictures.activation_rates({"activation_rates": drawn}, colour)
    return Picture(f"activation_{name}", figure, caption, f"Activation rates: {words}.")


def _paths(name: str, evaluation: PerImage) -> Picture:
    figure = decision_pictures.shortest_and_longest(evaluation)
    caption = "Images that cost least and most: class, MACs, in red a wrong answer; of equal cost, each class in turn."
    macs = evaluation.macs
    words = f"from {formatting.millions(float(min(macs)))} to {formatting.millions(float(max(macs)))} MACs"
    return Picture(
        f"paths_{name}", figure, caption, f"Images with the shortest and longest paths, {words}.", photographs=True
    )


def _speed_sentence(system: Mapping[str, Any], precision: str) -> str:
    speed = system[precision]
    share = formatting.percent(speed["latency_dynamic_ms"] / speed["latency_static_ms"], 0)
    macs = formatting.percent(system["macs_mean"] / system["macs_static"], 0)
    dynamic, static = (formatting.milliseconds(speed[f"latency_{which}_ms"]) for which in ("dynamic", "static"))
    overhead, with_decider = (formatting.show("overhead", speed[key]) for key in ("overhead", "overhead_with_decider"))
    return (
        f"In {precision} it takes {share} of the static network's time ({dynamic} of {static}) for {macs} of its MACs: "
        f"{overhead} the time of what it runs, {with_decider} with its deciders."
    )


def _speed_table(system: Mapping[str, Any], exported: Sequence[str]) -> Table:
    rows = [
        [words, *(formatting.show(key, system[precision].get(key)) for precision in exported)]
        for key, words in _SPEED
        if any(system[precision].get(key) is not None for precision in exported)
    ]
    return Table(["", *exported], rows, "Times and files")


def _unit_table(system: Mapping[str, Any], exported: Sequence[str]) -> Table:
    measured = [system[precision]["unit_ms"] for precision in exported]
    units = dict.fromkeys(unit for times in measured for unit in times)
    shown = [[unit, *(formatting.show("unit_ms", times.get(unit)) for times in measured)] for unit in units]
    return Table(["", *exported], shown, "Measured time per unit, in the static graph that runs everything")
