"""Metrics of predictions and decisions, as pure functions over arrays."""

from keras_dynamic.metrics.accuracy import Calibration, accuracies, calibration, top_k_accuracy
from keras_dynamic.metrics.paths import (
    activation_rates,
    distinct_paths,
    path_matrix,
    rank_correlation,
    shuffled,
    units_run,
)

__all__ = [
    "Calibration",
    "accuracies",
    "activation_rates",
    "calibration",
    "distinct_paths",
    "path_matrix",
    "rank_correlation",
    "shuffled",
    "top_k_accuracy",
    "units_run",
]
