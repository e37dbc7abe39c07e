"""The section on whether decisions are the same for all images, and how that came about, for any system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_dynamic.report import formatting, rate_pictures, style
from keras_dynamic.report.polarisation import polarisation
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Picture, Section, Text

_FEWEST_DRAWN = 5  # fewer decisions are no distribution


def polarisation_section(name: str) -> Section:
    """How many decisions of one system are always off, always on or in between, and their rates over the training.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no activation_rates. Rates over the training are left out where none was
        recorded, or where they never moved.

    Source:
        Herrmann et al., sections S2.1 and S4.5, figures 9 and 24 to 27.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system = report["systems"][name]
        rates = system.get("activation_rates")
        if not rates:
            return []
        colour = style.look_of(list(report["systems"]))[name][0]
        blocks: list[Block] = [Text([_sentence(rates)], listed=True)]
        if len(rates) >= _FEWEST_DRAWN:
            blocks.append(_histogram(name, rates, colour))
        history = system.get("activation_history", {})
        if any(len(set(values)) > 1 for values in history.get("rates", {}).values()):
            blocks.append(_over_training(name, history, colour))
        return blocks

    return Section(f"{formatting.title_of(name)}: are decisions the same for all images?", render)


def _sentence(rates: Mapping[str, float]) -> str:
    off, between, on, polarised = polarisation(rates)
    share = formatting.percent(polarised, 0)
    return (
        f"Of {len(rates)} decisions {off} {_is(off)} always off, {on} {_is(on)} always on, and {between} "
        f"{'depends' if between == 1 else 'depend'} on the image; {share} are polarised, that is, run for less than "
        "5 % or more than 95 % of the images."
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _histogram(name: str, rates: Mapping[str, float], colour: str) -> Picture:
    off, between, on, _ = polarisation(rates)
    caption = "How many decisions run for how many of the test images."
    alternative = f"Activation rates of decisions: {off} always off, {on} always on, {between} in between."
    return Picture(f"polarisation_{name}", rate_pictures.rates_histogram(rates, colour), caption, alternative)


def _over_training(name: str, history: Mapping[str, Any], colour: str) -> Picture:
    words = ", ".join(
        f"{decision} {formatting.percent(values[0], 0)} to {formatting.percent(values[-1], 0)}"
        for decision, values in history["rates"].items()
    )
    caption = (
        "Share of held-out images that run each decision after each epoch of the training, decisions in the network's "
        "order. Batch norm is as it was then, not yet re-estimated."
    )
    figure = rate_pictures.rates_over_training(history, colour)
    return Picture(f"training_{name}", figure, caption, f"Activation rates, first to last epoch: {words}.")
