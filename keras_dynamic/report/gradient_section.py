"""The section on gradients of the plain network against activation rates, for any system that measured them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_dynamic.report import formatting, gradient_pictures, style
from keras_dynamic.report.gradients import Stage, correlation, stages_of
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Folded, Picture, Section, Table, Text


def gradient_section(name: str) -> Section:
    """Whether the units of one system run the more often, the larger their gradients in the plain network are.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no gradient_magnitudes.

    Source:
        SGAD (Wang et al. 2018), section 4.1 and figure 4.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        if not system.get("gradient_magnitudes"):
            return []
        stages = stages_of(system)
        colour = style.look_of(list(report["systems"]))[name][0]
        sentences = _sentences(stages)
        return [
            *([Text(sentences, listed=True)] if sentences else []),
            _picture(name, stages, colour),
            Folded("Unit by unit", [_table(system, stages)]),
        ]

    return Section(f"{formatting.title_of(name)}: gradients and activation rates", render)


def _sentences(stages: list[Stage]) -> list[str]:
    whole = correlation(stages)
    if whole is None:
        return []
    decided = sum(int(stage.decided.sum()) for stage in stages)
    sentences = [
        f"Over the {decided} units that are decided, the rank correlation between the magnitude of a unit's gradients "
        f"in the plain network and the share of images that run it is {formatting.correlation(whole)}: "
        f"{_reading(whole)}."
    ]
    within = {stage.name: correlation([stage]) for stage in stages}
    if len(stages) > 1 and None not in within.values():
        words = ", ".join(f"{formatting.correlation(value or 0.0)} in {stage}" for stage, value in within.items())
        sentences.append(f"Within the stages it is {words}.")
    return sentences


def _reading(value: float) -> str:
    if abs(value) < 0.1:
        return "neither goes with the other"
    return f"units with larger gradients run {'more' if value > 0 else 'less'} often"


def _picture(name: str, stages: list[Stage], colour: str) -> Picture:
    caption = (
        "Bars: mean absolute gradient of the cross entropy by a unit's kernels, in the plain network on training "
        "images, over that of the unit with the largest. Points: activation rate of the dynamic network."
    )
    if not all(stage.decided.all() for stage in stages):
        caption += " Hollow: always runs."
    words = ", ".join(
        f"{unit} {magnitude:.2f} and {formatting.percent(rate, 0)}"
        for stage in stages
        for unit, magnitude, rate in zip(stage.units, stage.magnitudes, stage.rates, strict=True)
    )
    figure = gradient_pictures.gradients_and_rates(stages, colour)
    return Picture(f"gradients_{name}", figure, caption, f"Gradient and activation rate of units: {words}.", wide=True)


def _table(system: Mapping[str, Any], stages: list[Stage]) -> Table:
    rows = [
        [
            unit,
            f"{system['gradient_magnitudes'][unit]:.2e}",
            f"{magnitude:.2f}",
            formatting.percent(rate, 1) if decided else "always runs",
        ]
        for stage in stages
        for unit, magnitude, rate, decided in zip(
            stage.units, stage.magnitudes, stage.rates, stage.decided, strict=True
        )
    ]
    return Table(["", "gradient", "of the largest", "activation rate"], rows)
