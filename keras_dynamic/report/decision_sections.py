"""The section on which images run what, and whether decisions differ between images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.metrics import distinct_paths, path_matrix, units_run
from keras_dynamic.report import analysis, decision_pictures, formatting, style
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Block, Picture, Section, Table, Text, table_of

_MOST_CLASSES, _MOST_PATHS = 10, 4


def decisions_section(name: str) -> Section:
    """How many units the images of one system run, which paths they take, and how far its decisions are polarised.

    Args:
        name: A system of the report.

    Returns:
        The section. Without a PerImage of the system it holds what activation_rates and activation_history give; empty
        where there is neither.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, section 4.3; Herrmann et al., sections
        S2.1 and S4.5, figures 24 to 27.
    """

    def render(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> list[Block]:
        system, evaluation = report["systems"][name], evaluations.get(name)
        if evaluation is not None and not evaluation.decisions:
            evaluation = None
        colour = style.look_of(list(report["systems"]))[name][0]
        rates, history = system.get("activation_rates"), system.get("activation_history", {})
        sentences = [*(_sentences(evaluation) if evaluation else []), *_guideline(system)]
        sentences += [_polarisation(rates)] if rates else []
        blocks: list[Block] = [Text(sentences, listed=True)] if sentences else []
        if rates:
            blocks.append(_rates(name, rates, colour))
        if evaluation:
            blocks.append(_macs(name, evaluation, system, colour))
        if any(len(set(values)) > 1 for values in history.get("rates", {}).values()):
            blocks.append(_over_training(name, history, colour))
        if evaluation and distinct_paths(evaluation.decisions) > 1:
            blocks += [_paths(name, evaluation, colour), _extremes(name, evaluation), _classes(evaluation)]
        return blocks

    return Section(f"{formatting.title_of(name)}: which images run what", render)


def _sentences(evaluation: PerImage) -> list[str]:
    units, count = units_run(evaluation.decisions), path_matrix(evaluation.decisions).shape[1]
    paths = distinct_paths(evaluation.decisions)
    if paths == 1:
        return [f"All images run the same {units[0]} of {count} units that can be skipped."]
    macs, right = np.asarray(evaluation.macs, float), analysis.is_right(evaluation)
    most = formatting.percent(analysis.dominant_paths(evaluation, 1)[0].share, 1)
    sentences = [
        f"Of {count} units that can be skipped, an image runs {units.mean():.2f} on average, standard deviation "
        f"{units.std():.2f}, from {units.min()} to {units.max()}.",
        f"MACs of an image: mean {formatting.millions(macs.mean())}, standard deviation "
        f"{formatting.millions(macs.std())}.",
        f"{most} of the images take the most frequent of {paths:,} paths.",
    ]
    if right.sum() > 1 and (~right).sum() > 1:
        sentences.append(_difference(units[~right], units[right]))
    share = formatting.percent(analysis.share_by_class(evaluation), 0)
    sentences.append(f"The classes account for {share} of the variance of units run; the rest lies within classes.")
    return sentences


def _difference(wrong: np.ndarray, right: np.ndarray) -> str:
    gap = float(wrong.mean() - right.mean())
    error = float(np.sqrt(wrong.var(ddof=1) / len(wrong) + right.var(ddof=1) / len(right)))
    return (
        f"Images that it answers wrongly run {wrong.mean():.2f} units, the others {right.mean():.2f}: "
        f"{abs(gap):.2f} {'more' if gap > 0 else 'fewer'}, standard error {error:.2f}."
    )


def _guideline(system: Mapping[str, Any]) -> list[str]:
    """Whether images run as many units as a guideline wants, where there was one."""
    if system.get("rank_correlation") is None:
        return []
    value = formatting.show("rank_correlation", system["rank_correlation"])
    sentence = f"The rank correlation between an image's difficulty for the guideline and the units it runs is {value}"
    wanted = system.get("expected_units_mean")
    if wanted is None:
        return [f"{sentence}."]
    return [f"{sentence}; the guideline wants {wanted:.2f} units on average, those that always run included."]


def _polarisation(rates: Mapping[str, float]) -> str:
    off, between, on, polarised = analysis.polarisation(rates)
    return (
        f"Of {len(rates)} decisions {off} {_is(off)} always off, {on} {_is(on)} always on, and {between} "
        f"{'depends' if between == 1 else 'depend'} on the image; {formatting.percent(polarised, 0)} are polarised, "
        "that is, run for less than 5 % or more than 95 % of the images."
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _rates(name: str, rates: Mapping[str, float], colour: str) -> Picture:
    drawn = decision_pictures.rates_to_draw(rates)
    words = ", ".join(f"{unit} {formatting.percent(float(rate), 0)}" for unit, rate in drawn.items())
    caption = "Activation rate: share of images that run each unit, in the network's order."
    if len(drawn) < len(rates):
        caption += " A unit's is the mean over its channel groups."
    figure = decision_pictures.activation_rates(drawn, colour)
    return Picture(f"activation_{name}", figure, caption, f"Activation rates: {words}.")


def _macs(name: str, evaluation: PerImage, system: Mapping[str, Any], colour: str) -> Picture:
    low, high = (formatting.millions(float(end)) for end in (min(evaluation.macs), max(evaluation.macs)))
    figure = decision_pictures.macs_distribution(evaluation.macs, system["macs_static"], colour)
    caption = "How many images cost how much; dashed: the system's mean and its static reference."
    return Picture(f"macs_{name}", figure, caption, f"MACs per image, from {low} to {high}.")


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


def _paths(name: str, evaluation: PerImage, colour: str) -> Picture:
    figure = decision_pictures.frequent_paths(evaluation, _MOST_PATHS, colour)
    caption = (
        "The most frequent paths: units in the network's order, those that run filled, and the first images that take "
        "each path, wrong answers framed."
    )
    words = ", ".join(
        f"{int(path.runs.sum())} units {formatting.percent(path.share, 0)}"
        for path in analysis.dominant_paths(evaluation, _MOST_PATHS)
    )
    return Picture(f"frequent_paths_{name}", figure, caption, f"Most frequent paths: {words}.", photographs=True)


def _extremes(name: str, evaluation: PerImage) -> Picture:
    figure = decision_pictures.shortest_and_longest(evaluation)
    caption = "Images that cost least and most: class, MACs, in red a wrong answer; of equal cost, each class in turn."
    return Picture(f"paths_{name}", figure, caption, "Images with the shortest and longest paths.", photographs=True)


def _classes(evaluation: PerImage) -> Table:
    labels, units, right = np.asarray(evaluation.labels), units_run(evaluation.decisions), analysis.is_right(evaluation)
    classes, present = analysis.shown_classes(evaluation, _MOST_CLASSES), len(np.unique(labels))
    caption = ""
    if len(classes) < present:
        caption = f"{len(classes)} of {present} classes: those that run the fewest and the most units."
    columns = {
        "": lambda label: evaluation.class_names[label],
        "images": lambda label: f"{np.count_nonzero(labels == label):,}",
        "accuracy": lambda label: formatting.percent(right[labels == label].mean(), 1),
        "units, mean": lambda label: f"{units[labels == label].mean():.2f}",
        "units, std": lambda label: f"{units[labels == label].std():.2f}",
        "MACs, mean": lambda label: formatting.millions(np.asarray(evaluation.macs)[labels == label].mean()),
    }
    return table_of(classes, columns, caption)
