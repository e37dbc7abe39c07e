"""Metrics of answers and decisions, as pure functions over arrays."""

from keras_dynamic.metrics.accuracies import accuracies, top_k_accuracy
from keras_dynamic.metrics.calibration import Calibration, calibration
from keras_dynamic.metrics.paths import activation_rates, distinct_paths, path_matrix, shuffled, units_run
from keras_dynamic.metrics.rank_correlation import rank_correlation

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
