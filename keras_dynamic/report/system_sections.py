"""The sections that every report has: summary, frontiers, one per system, and how to read the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_dynamic.report import (
    formatting,
    frontier_pictures,
    path_pictures,
    pictures,
    style,
    timing,
    verdicts,
)
from keras_dynamic.report.analysis_section import analysis_section
from keras_dynamic.report.exits_comparison import exits_comparison
from keras_dynamic.report.exits_section import exits_section
from keras_dynamic.report.gradient_section import gradient_section
from keras_dynamic.report.inference_section import inference_section
from keras_dynamic.report.polarisation_section import polarisation_section
from keras_dynamic.report.schema import PerImage, precisions
from keras_dynamic.report.sections import Block, Picture, Section, Table, Text
from keras_dynamic.report.summary import summary_section

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
        verdict = verdicts.judge(report, name)
        exported = precisions(report)
        speeds = [_speed_sentence(system, precision) for precision in exported]
        blocks: list[Block] = [
            Text([verdicts.headline(report, name)]),
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
            frontier_pictures.accuracy_against_macs(report),
            f"Accuracy (Keras, float32) against mean MACs. {twins}{missing}",
            f"Accuracy against MACs: {words}.",
            wide=True,
        )
    ]
    for precision in precisions(report):
        if not timing.timed_static(report, precision):
            continue
        times = "; ".join(
            f"{name} {formatting.percent(system[precision]['accuracy'])} "
            f"at {formatting.milliseconds(system[precision]['latency_dynamic_ms'])}"
            for name, system in report["systems"].items()
        )
        blocks.append(
            Picture(
                f"accuracy_ms_{precision}",
                frontier_pictures.accuracy_against_time(report, precision),
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
    figure = pictures.macs_distribution(report, evaluations)
    caption = "How many images cost how much; the dashed lines are the system's mean and its static reference."
    return [Picture("macs_per_image", figure, caption, f"MACs per image: {words}.", wide=True)]


def _rates(name: str, system: Mapping[str, Any], colour: str) -> Picture:
    rates = system["activation_rates"]
    drawn = pictures.rates_to_draw(rates)
    words = ", ".join(f"{unit} {formatting.percent(float(rate), 0)}" for unit, rate in drawn.items())
    caption = "Activation rate: share of images that run each unit, in the network's order."
    if len(drawn) < len(rates):
        caption += " A unit's is the mean over its channel groups."
    figure = pictures.activation_rates({"activation_rates": drawn}, colour)
    return Picture(f"activation_{name}", figure, caption, f"Activation rates: {words}.")


def _paths(name: str, evaluation: PerImage) -> Picture:
    figure = path_pictures.shortest_and_longest(evaluation)
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
