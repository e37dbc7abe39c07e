"""Metrics of decisions, as pure functions over arrays."""

from keras_dynamic.metrics.paths import activation_rates, distinct_paths, path_matrix, shuffled, units_run
from keras_dynamic.metrics.rank_correlation import rank_correlation

__all__ = ["activation_rates", "distinct_paths", "path_matrix", "rank_correlation", "shuffled", "units_run"]
