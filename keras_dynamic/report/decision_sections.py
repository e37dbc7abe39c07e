"""The sections on which images run what, and whether decisions differ between images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.metrics import distinct_paths, path_matrix, units_run
from keras_dynamic.report import analysis, decision_pictures, formatting, style
from keras_dynamic.report.analysis import polarisation
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Folded, Picture, Section, Table, Text

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
    return Picture(f"polarisation_{name}", decision_pictures.rates_histogram(rates, colour), caption, alternative)


def _over_training(name: str, history: Mapping[str, Any], colour: str) -> Picture:
    words = ", ".join(
        f"{decision} {formatting.percent(values[0], 0)} to {formatting.percent(values[-1], 0)}"
        for decision, values in history["rates"].items()
    )
    caption = (
        "Share of held-out images that run each decision after each epoch of the training, decisions in the network's "
        "order. Batch norm is as it was then, not yet re-estimated."
    )
    figure = decision_pictures.rates_over_training(history, colour)
    return Picture(f"training_{name}", figure, caption, f"Activation rates, first to last epoch: {words}.")


MOST_CLASSES = 10


def analysis_section(name: str) -> Section:
    """How many units the images of one system run, how that goes with right answers, and with the classes.

    Args:
        name: A system of the report.

    Returns:
        The section; empty where the system has no PerImage or no decisions.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, section 4.3.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        evaluation = evaluations.get(name)
        if evaluation is None or not evaluation.decisions:
            return []
        if distinct_paths(evaluation.decisions) == 1:
            return [Text(_sentences(evaluation), listed=True)]
        colour = style.look_of(list(report["systems"]))[name][0]
        classes = analysis.shown_classes(evaluation, MOST_CLASSES)
        return [
            Text([*_sentences(evaluation), *_guideline(report["systems"][name])], listed=True),
            _units(name, evaluation, colour),
            Folded("Class by class", [_class_table(evaluation, classes)]),
            Folded("Most frequent paths of each class", [_paths(name, evaluation, classes, colour)]),
            Folded("Easiest and hardest images of each class", [_ends(name, evaluation, classes)]),
        ]

    return Section(f"{formatting.title_of(name)}: which images run what", render)


def _sentences(evaluation: PerImage) -> list[str]:
    units, count = units_run(evaluation.decisions), path_matrix(evaluation.decisions).shape[1]
    if distinct_paths(evaluation.decisions) == 1:
        return [f"All images run the same {units[0]} of {count} units that can be skipped."]
    macs = np.asarray(evaluation.macs, float)
    paths = analysis.dominant_paths(evaluation, 10)
    sentences = [
        f"Of {count} units that can be skipped, an image runs {units.mean():.2f} on average, standard deviation "
        f"{units.std():.2f}, from {units.min()} to {units.max()}.",
        f"MACs of an image: mean {formatting.millions(macs.mean())}, standard deviation "
        f"{formatting.millions(macs.std())}.",
        _frequent(distinct_paths(evaluation.decisions), [path.share for path in paths]),
    ]
    right = analysis.is_right(evaluation)
    if right.sum() > 1 and (~right).sum() > 1:
        sentences.append(_difference(units[~right], units[right]))
    share = formatting.percent(analysis.share_by_class(evaluation), 0)
    sentences.append(f"The classes account for {share} of the variance of units run; the rest lies within classes.")
    return sentences


def _guideline(system: Mapping[str, Any]) -> list[str]:
    """Whether images run as many units as a guideline asks for, where there was one."""
    if system.get("rank_correlation") is None:
        return []
    value = formatting.show("rank_correlation", system["rank_correlation"])
    sentence = f"The rank correlation between an image's difficulty for the guideline and the units it runs is {value}"
    asked = system.get("expected_units_mean")
    if asked is None:
        return [f"{sentence}."]
    return [f"{sentence}; the guideline asks for {asked:.2f} units on average, those that always run included."]


def _frequent(count: int, shares: list[float]) -> str:
    first = f"{formatting.percent(shares[0], 1)} of the images take the most frequent of {count:,} paths"
    if count <= len(shares):
        return f"{first}."
    return f"{first}, {formatting.percent(sum(shares), 1)} one of the {len(shares)} most frequent."


def _difference(wrong: np.ndarray, right: np.ndarray) -> str:
    gap = float(wrong.mean() - right.mean())
    error = float(np.sqrt(wrong.var(ddof=1) / len(wrong) + right.var(ddof=1) / len(right)))
    more = "more" if gap > 0 else "fewer"
    return (
        f"Images that it answers wrongly run {wrong.mean():.2f} units, the others {right.mean():.2f}: "
        f"{abs(gap):.2f} {more}, standard error {error:.2f}."
    )


def _units(name: str, evaluation: PerImage, colour: str) -> Picture:
    groups = analysis.by_units(evaluation)
    words = ", ".join(
        f"{units}: {images} images, {formatting.percent(right / images, 0)} right"
        for units, images, right in zip(*groups, strict=True)
    )
    caption = (
        "How many units the images run, and how many of those images are answered rightly; upright lines are 95 % "
        "intervals, and what too few images run has no point."
    )
    figure = decision_pictures.units_and_accuracy(evaluation, colour)
    return Picture(f"units_{name}", figure, caption, f"Images by units run: {words}.", wide=True)


def _class_table(evaluation: PerImage, classes: list[int]) -> Table:
    labels, units, right = np.asarray(evaluation.labels), units_run(evaluation.decisions), analysis.is_right(evaluation)
    rows = []
    for label in classes:
        chosen = labels == label
        own = {key: np.asarray(value)[chosen] for key, value in evaluation.decisions.items()}
        (first,) = analysis.dominant_paths(evaluation, 1, label)
        rows.append(
            [
                evaluation.class_names[label],
                f"{chosen.sum():,}",
                formatting.percent(right[chosen].mean(), 1),
                f"{units[chosen].mean():.2f}",
                f"{units[chosen].std():.2f}",
                formatting.millions(np.asarray(evaluation.macs)[chosen].mean()),
                f"{distinct_paths(own):,}",
                formatting.percent(first.share, 0),
            ]
        )
    header = ["", "images", "accuracy", "units, mean", "units, std", "MACs, mean", "paths", "most frequent"]
    return Table(header, rows, _chosen(evaluation, classes))


def _paths(name: str, evaluation: PerImage, classes: list[int], colour: str) -> Picture:
    figure = decision_pictures.paths_of_classes(evaluation, classes, colour)
    caption = (
        "The three most frequent paths of a class: units in the network's order, those that run filled; the share of "
        "the class that takes the path and how much of it is answered rightly; its first images, wrong answers framed. "
        f"{_chosen(evaluation, classes)}"
    )
    alternative = "Strips of units and images of each class."
    return Picture(f"class_paths_{name}", figure, caption.strip(), alternative, photographs=True, wide=True)


def _ends(name: str, evaluation: PerImage, classes: list[int]) -> Picture:
    figure = decision_pictures.easy_and_hard(evaluation, classes)
    caption = (
        "Rightly answered images of each class that run the fewest and the most units, the number of units under them. "
        f"{_chosen(evaluation, classes)}"
    )
    alternative = "Images of each class that run few units, and images that run many."
    return Picture(f"class_ends_{name}", figure, caption.strip(), alternative, photographs=True, wide=True)


def _chosen(evaluation: PerImage, classes: list[int]) -> str:
    present = len(np.unique(evaluation.labels))
    if len(classes) == present:
        return ""
    return f"{len(classes)} of {present} classes: those that run the fewest and the most units."
