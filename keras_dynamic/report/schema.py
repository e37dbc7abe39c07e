"""What report.json must hold, checked before anything is drawn or written."""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.messages import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9_-]+")
PRECISIONS = ("float32", "int8")
SYSTEM_KEYS = (
    "accuracy",
    "accuracy_static_twin",
    "accuracy_shuffled",
    "macs_static",
    "macs_mean",
    "macs_std",
    "distinct_paths",
)
PRECISION_KEYS = (
    "latency_static_ms",
    "latency_dynamic_ms",
    "latency_all_on_ms",
    "overhead",
    "overhead_with_decider",
    "size_bytes",
    "accuracy",
    "decisions_changed",
)
# Optional parts of a system: lists of rows with these keys, and mappings of the values after each epoch.
_ROWS = {
    "tau_sweep": ("tau", "accuracy", "macs_mean"),
    "inference": ("mode", "accuracy", "macs_mean"),
    "exits": ("exit", "accuracy", "macs", "calibration_error"),
    "exit_ranks": ("exits", "rank_correlation"),
    "budgeted": ("p", "accuracy", "macs_mean", "stops"),
    "budgets": ("budget", "kept", "accuracy", "macs_mean", "stops"),
    "limits": ("limit", "accuracy", "macs_mean", "macs_max", "stops"),
}
_HISTORIES = {"activation_history": "rates", "exit_history": "accuracies"}


class PerImage(NamedTuple):
    """What one system did with each image.

    Attributes:
        images: uint8 [n, height, width, 3].
        labels: Integers [n].
        predictions: Integers [n].
        macs: MACs of each image [n].
        decisions: {name: 0 or 1, [n] or [n, groups]}.
        class_names: One name per class.
    """

    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    macs: np.ndarray
    decisions: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]


def check_report(report: Mapping[str, Any]) -> None:
    """Raises if a key that every report has is missing.

    Args:
        report: The content of report.json: "static" {name: {"accuracy", "macs"}} and "systems" {name: SYSTEM_KEYS}, and
            in all systems or in none, float32 and int8 with PRECISION_KEYS. Everything else is optional:
            gradient_magnitudes {unit: number >= 0} of the plain network that a system was made of; the lists tau_sweep,
            inference, exits, exit_ranks, budgeted, budgets and limits; activation_history and exit_history with
            "epochs" and "rates" {decision: [rate]} or "accuracies" {exit: [accuracy]}; gradient_variances with plain
            and equilibrium, a number for each exit.

    Raises:
        ValueError: Naming the key, also if one of those holds no number.
    """
    _need(report, ("static", "systems"), "report")
    _need(report["static"], (), "report['static']")
    _need(report["systems"], (), "report['systems']")
    for name, entry in report["static"].items():
        _need_numbers(entry, ("accuracy", "macs"), f"report['static'][{name!r}]")
    for name, system in report["systems"].items():
        _need_numbers(system, SYSTEM_KEYS, f"report['systems'][{name!r}]")
    exported = precisions(report)
    for name, system in report["systems"].items():
        check_system_name(name)
        where = f"report['systems'][{name!r}]"
        _need(system, exported, where)
        for precision in exported:
            _need_numbers(system[precision], PRECISION_KEYS, f"{where}[{precision!r}]")
        for part, keys in _ROWS.items():
            rows = system.get(part, [])
            if not isinstance(rows, (list, tuple)):
                raise ValueError(f"Expected {where}[{part!r}] as a list, got {type(rows).__name__}; give one of rows.")
            for place, row in enumerate(rows):
                _need(row, keys, f"{where}[{part!r}][{place}]")
        if "gradient_variances" in system:
            _need(system["gradient_variances"], ("plain", "equilibrium"), f"{where}['gradient_variances']")
        for part, key in _HISTORIES.items():
            if part in system:
                _need(system[part], ("epochs", key), f"{where}[{part!r}]")
                epochs = len(system[part]["epochs"])
                for each, values in system[part][key].items():
                    if len(values) != epochs:
                        raise ValueError(
                            f"Expected {where}[{part!r}][{key!r}][{each!r}] for {epochs} epochs, got {len(values)}; "
                            "give one number per epoch."
                        )


def check_system_name(name: str) -> None:
    """Raises a ValueError unless a name will do for a system, whose files are called so."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"Expected a system's name of letters, digits, '_' and '-', got {name!r}; rename it.")


def precisions(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns those of PRECISIONS in which a system of a report was timed; none where nothing was exported."""
    return tuple(each for each in PRECISIONS if any(each in system for system in report["systems"].values()))


def check_evaluations(report: Mapping[str, Any], evaluations: Mapping[str, PerImage]) -> None:
    """Raises if what was given per image does not belong to the report's systems or has unequal lengths.

    Args:
        report: A report that passed `check_report`.
        evaluations: {name of a system: PerImage}; systems may be missing.

    Raises:
        ValueError: Naming the system and the field.
    """
    for name, evaluation in evaluations.items():
        if name not in report["systems"]:
            known = ", ".join(report["systems"])
            raise ValueError(
                f"Expected evaluations of the systems {known}, got {name!r}{did_you_mean(name, report['systems'])}; "
                "rename it."
            )
        images = np.asarray(evaluation.images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            received = f"{images.dtype} {list(images.shape)}"
            raise ValueError(
                f"Expected the images of {name!r} as uint8 [n, height, width, 3], got {received}; convert them."
            )
        lengths = {field: len(getattr(evaluation, field)) for field in ("labels", "predictions", "macs")}
        lengths.update({f"decisions[{key!r}]": len(value) for key, value in evaluation.decisions.items()})
        for field, length in lengths.items():
            if length != len(images):
                raise ValueError(
                    f"Expected {field} of {name!r} for {len(images)} images, got {length}; give one entry per image."
                )


def plain(value: Any) -> Any:
    """Turns NumPy scalars and arrays in a nest of mappings and sequences into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _need(mapping: Any, keys: Sequence[str], where: str) -> None:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"Expected {where} as a mapping, got {type(mapping).__name__}; give a dict.")
    for key in keys:
        if key not in mapping:
            raise ValueError(f"Expected the key {key!r} in {where}, got {', '.join(mapping) or 'nothing'}; add it.")


def _need_numbers(mapping: Any, keys: Sequence[str], where: str) -> None:
    _need(mapping, keys, where)
    for key in keys:
        if isinstance(mapping[key], bool) or not isinstance(mapping[key], numbers.Real):
            raise ValueError(f"Expected a number as {where}[{key!r}], got {mapping[key]!r}; correct it.")
