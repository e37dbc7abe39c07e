"""Metrics of decisions, as pure functions over arrays."""

from keras_dynamic.metrics.paths import activation_rates, distinct_paths, shuffled

__all__ = ["activation_rates", "distinct_paths", "shuffled"]
