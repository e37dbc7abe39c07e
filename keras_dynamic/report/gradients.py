"""Which units of a plain network still had much to learn, and how often a dynamic one runs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.metrics import rank_correlation

_STAGED = re.compile(r"(.+)_unit(\d+)")


class Stage(NamedTuple):
    """Neighbouring units of one size.

    Attributes:
        name: For example 'stage 1'; '' where the units' names tell no stages.
        labels: What tells each of its units from the others.
        units: Their names.
        magnitudes: Gradient magnitude of each in the plain network, over the network's largest [k].
        rates: Share of images that run each; 1 for one that is not decided [k].
        decided: Whether each is decided [k].
    """

    name: str
    labels: tuple[str, ...]
    units: tuple[str, ...]
    magnitudes: np.ndarray
    rates: np.ndarray
    decided: np.ndarray


def stages_of(system: Mapping[str, Any]) -> list[Stage]:
    """Sorts the units that can be skipped into stages, by names such as 'stage2_unit3'.

    Args:
        system: A system of report.json with gradient_magnitudes {unit: number >= 0}, at least one, and activation_rates
            {unit: rate}, in which units that always run may be missing.

    Returns:
        The stages in the network's order; a single one without a name where names are others.

    Raises:
        ValueError: If there are no magnitudes.
    """
    magnitudes, rates = system.get("gradient_magnitudes"), system.get("activation_rates", {})
    if not magnitudes:
        raise ValueError("Expected gradient_magnitudes {unit: number}, got none; leave them out of the report.")
    largest = max(magnitudes.values()) or 1.0
    matches = [_STAGED.fullmatch(unit) for unit in magnitudes]
    found: dict[str, list[tuple[str, str]]] = {}
    for place, (unit, match) in enumerate(zip(magnitudes, matches, strict=True)):
        stage, label = match.groups() if match and all(matches) else ("", str(place + 1))
        found.setdefault(stage, []).append((label, unit))
    stages = []
    for stage, members in found.items():
        labels, units = zip(*members, strict=True)
        stages.append(
            Stage(
                re.sub(r"(?<=\D)(\d+)$", r" \1", stage.replace("_", " ")),
                labels,
                units,
                np.array([magnitudes[unit] / largest for unit in units]),
                np.array([_rate(rates, unit, 1.0) for unit in units]),
                np.array([_rate(rates, unit, None) is not None for unit in units]),
            )
        )
    return stages


def _rate(rates: Mapping[str, float], unit: str, otherwise: float | None) -> float | None:
    """The mean of the rates of a unit's channel groups, 'unit[1]' and so on, or the unit's own if none is decided."""
    found = [rate for name, rate in rates.items() if name.startswith(f"{unit}[")]
    return sum(found) / len(found) if found else rates.get(unit, otherwise)


def correlation(stages: list[Stage]) -> float | None:
    """How the rates of the decided units follow the magnitudes.

    Args:
        stages: Of one network, or some of them.

    Returns:
        Spearman's rank correlation over the decided units of all these stages; None for fewer than two, or where all
        have the same rate.
    """
    decided = np.concatenate([stage.decided for stage in stages])
    if decided.sum() < 2:
        return None
    magnitudes, rates = (np.concatenate([getattr(stage, key) for stage in stages]) for key in ("magnitudes", "rates"))
    if np.ptp(rates[decided]) == 0:
        return None
    return rank_correlation(magnitudes[decided], rates[decided])
