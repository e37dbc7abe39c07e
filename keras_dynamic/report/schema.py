"""What report.json must hold, checked before anything is drawn or written."""

from __future__ import annotations

import re
from collections.abc import Mapping
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

_ROWS = {
    "tau_sweep": ("tau", "accuracy", "macs_mean"),
    "inference": ("mode", "accuracy", "macs_mean"),
    "exits": ("exit", "accuracy", "macs", "calibration_error", "calibration"),
    "exit_ranks": ("exits", "rank_correlation"),
    "budgeted": ("p", "accuracy", "macs_mean", "stops"),
    "budgets": ("budget", "kept", "accuracy", "macs_mean", "stops"),
}


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
            in all systems or in none, float32 and int8 with PRECISION_KEYS. Everything else is optional. A system's
            gradient_magnitudes {unit: number >= 0} are those of the plain network that it was made of; its tau_sweep
            and inference are lists of {"accuracy", "macs_mean"} with "tau" and "mode"; its activation_history has
            "epochs" [how many were trained] and "rates" {decision: [rate]}, as many. Of a network with exits, exits,
            exit_ranks, budgeted and budgets are lists of mappings (evaluation.exit_figures), exit_history has "epochs"
            and "accuracies" {exit: [accuracy]}, and gradient_variances has plain and equilibrium, a number for each
            exit.

    Raises:
        ValueError: Naming the key.
    """
    for key in ("static", "systems"):
        _need(report, key, "report")
    for name, entry in report["static"].items():
        for key in ("accuracy", "macs"):
            _need(entry, key, f"report['static'][{name!r}]")
    exported = precisions(report)
    for name, system in report["systems"].items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"Expected a system's name of letters, digits, '_' and '-', got {name!r}; rename it.")
        where = f"report['systems'][{name!r}]"
        for key in (*SYSTEM_KEYS, *exported):
            _need(system, key, where)
        for precision in exported:
            for key in PRECISION_KEYS:
                _need(system[precision], key, f"{where}[{precision!r}]")
        _check_magnitudes(system.get("gradient_magnitudes", {}), f"{where}['gradient_magnitudes']")
        for part, keys in _ROWS.items():
            for place, row in enumerate(system.get(part, [])):
                for key in keys:
                    _need(row, key, f"{where}[{part!r}][{place}]")
        _check_variances(system, where)
        for part, values in (("activation_history", "rates"), ("exit_history", "accuracies")):
            if part in system:
                _check_history(system[part], values, f"{where}[{part!r}]")


def precisions(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The precisions in which the systems of a report were exported and timed.

    Args:
        report: The content of report.json.

    Returns:
        Those of PRECISIONS that a system has figures of; none where nothing was exported.
    """
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
    """Turns NumPy scalars and arrays into what JSON knows.

    Args:
        value: Any nest of mappings, sequences and numbers.

    Returns:
        The same nest of dict, list, str, int, float, bool and None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _check_magnitudes(magnitudes: Any, where: str) -> None:
    if not isinstance(magnitudes, Mapping):
        raise ValueError(f"Expected {where} as a mapping, got {type(magnitudes).__name__}; give {{unit: number}}.")
    for unit, value in magnitudes.items():
        if not value >= 0:
            raise ValueError(f"Expected {where}[{unit!r}] as a number >= 0, got {value!r}; take the absolute value.")


def _check_variances(system: Mapping[str, Any], where: str) -> None:
    variances, exits = system.get("gradient_variances"), system.get("exits", [])
    if variances is None:
        return
    for key in ("plain", "equilibrium"):
        _need(variances, key, f"{where}['gradient_variances']")
        if len(variances[key]) != len(exits):
            raise ValueError(
                f"Expected {where}['gradient_variances'][{key!r}] for {len(exits)} exits, got {len(variances[key])}; "
                "give one number per exit."
            )


def _check_history(history: Any, values: str, where: str) -> None:
    for key in ("epochs", values):
        _need(history, key, where)
    for name, told in history[values].items():
        if len(told) != len(history["epochs"]):
            raise ValueError(
                f"Expected {where}[{values!r}][{name!r}] for {len(history['epochs'])} epochs, got {len(told)}; give "
                "one number per epoch."
            )


def _need(mapping: Any, key: str, where: str) -> None:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"Expected {where} as a mapping, got {type(mapping).__name__}; give a dict.")
    if key not in mapping:
        raise ValueError(f"Expected the key {key!r} in {where}, got {', '.join(mapping) or 'nothing'}; add it.")
