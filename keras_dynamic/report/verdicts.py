"""Dynamic or merely pruned: the words that a report may use, computed from its figures.

Source: docs/design.md, 'What a result must say'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_dynamic.report import formatting, frontier

DYNAMIC, PRUNED = "dynamic", "merely pruned"
_PLAIN, _CASCADES = "plain networks", "cascades of plain networks"
_NOTHING = 5e-5  # half of the last digit that is printed


class Verdict(NamedTuple):
    """What the figures of one system allow to say.

    Attributes:
        word: DYNAMIC or PRUNED.
        sentences: One per yardstick, in words.
    """

    word: str
    sentences: tuple[str, ...]


def margins_of(report: Mapping[str, Any], name: str) -> dict[str, float]:
    """The margins of a system: those that it states itself, the rest read off the report's lines.

    Args:
        report: The content of report.json.
        name: A system of it.

    Returns:
        margin_static_line, margin_static_twin, margin_cascade as fractions, without those that were not measured.
    """
    system = report["systems"][name]
    result = frontier.margins(system, report.get("static"), report.get("cascade_frontier"))
    stated = {key: system[key] for key in frontier.MARGINS if system.get(key) is not None}
    return {**result, **stated}


def judge(report: Mapping[str, Any], name: str) -> Verdict:
    """Says whether a system is dynamic, and how it compares with each line.

    It is dynamic if images take different paths, another image's decisions make it worse, and it beats its static twin;
    otherwise it is merely pruned. What was not measured does not count against it, save the static twin.

    Args:
        report: The content of report.json; with "images", differences under the standard error are called so.
        name: A system of it, with at least accuracy, accuracy_static_twin and macs_mean.

    Returns:
        The verdict.
    """
    system, margins = report["systems"][name], margins_of(report, name)
    varied = system.get("distinct_paths", 2) > 1
    depends = varied and system["accuracy"] - system.get("accuracy_shuffled", 0.0) > _NOTHING
    error, at = standard_error(report, system), f"at {formatting.millions(system['macs_mean'])} MACs"
    sentences = [
        _paths(system),
        _shuffled(system),
        _twin(margins["margin_static_twin"], depends, error),
        _line(margins.get("margin_static_line"), f"the line through the static networks {at}", _PLAIN, error),
        _line(margins.get("margin_cascade"), f"the cascade frontier {at}", _CASCADES, error),
    ]
    word = DYNAMIC if depends and margins["margin_static_twin"] > 0 else PRUNED
    return Verdict(word, tuple(sentence for sentence in sentences if sentence))


def headline(report: Mapping[str, Any], name: str) -> str:
    """The verdict in one sentence, with what does better at the same cost by more than the standard error.

    Args:
        report: The content of report.json.
        name: A system of it.

    Returns:
        For example 'Gated: dynamic, yet plain networks do better at its cost.'
    """
    error, margins = standard_error(report, report["systems"][name]), margins_of(report, name)
    rivals = {"margin_static_line": _PLAIN, "margin_cascade": _CASCADES}
    better = [words for key, words in rivals.items() if margins.get(key, 0.0) < -error]
    word = judge(report, name).word
    link = "yet" if word == DYNAMIC else "and"
    ending = f", {link} {' and '.join(better)} do better at its cost" if better else ""
    return f"{formatting.title_of(name)}: {word}{ending}."


def standard_error(report: Mapping[str, Any], system: Mapping[str, Any]) -> float:
    """Standard error of a system's accuracy, sqrt(p (1 - p) / n).

    Args:
        report: The content of report.json, perhaps with "images", the number that accuracies were measured on.
        system: A system of it.

    Returns:
        A fraction; 0 where the number of images is not known.
    """
    if not report.get("images"):
        return 0.0
    return math.sqrt(system["accuracy"] * (1 - system["accuracy"]) / report["images"])


def _paths(system: Mapping[str, Any]) -> str:
    if "distinct_paths" not in system:
        return ""
    if system["distinct_paths"] <= 1:
        return "All images take the same path."
    spread = system.get("macs_std")
    ending = "" if spread is None else f"; the standard deviation of their MACs is {formatting.millions(spread)}"
    return f"Images take {system['distinct_paths']:,.0f} distinct paths{ending}."


def _shuffled(system: Mapping[str, Any]) -> str:
    if "accuracy_shuffled" not in system:
        return ""
    loss = system["accuracy"] - system["accuracy_shuffled"]
    if loss <= _NOTHING:
        return "Under another image's decisions it is no worse, so its decisions do not depend on the image."
    return f"Under another image's decisions it loses {_distance(loss)}, so its decisions depend on the image."


def _twin(margin: float, depends: bool, error: float) -> str:
    twin = "its static twin, the same weights under one fixed pattern at equal MACs"
    if margin <= 0:
        return f"It is {_where(margin)} {twin}: it is merely pruned{_doubt(margin, error)}."
    ending = "choosing by image pays" if depends else "but nothing is chosen by image"
    return f"It is {_where(margin)} {twin}: {ending}{_doubt(margin, error)}."


def _line(margin: float | None, line: str, rivals: str, error: float) -> str:
    if margin is None:
        return ""
    doubt = _doubt(margin, error)
    ending = f": {rivals} do better at that cost" if margin < 0 and not doubt else ""
    return f"It is {_where(margin)} {line}{ending}{doubt}."


def _doubt(margin: float, error: float) -> str:
    return f" (less than the standard error, {_distance(error)})" if abs(margin) < error else ""


def _where(margin: float) -> str:
    if _distance(margin) == "0.00 points":
        return "level with"
    return f"{_distance(margin)} {'above' if margin > 0 else 'under'}"


def _distance(margin: float) -> str:
    return f"{100 * abs(margin):.2f} points"
