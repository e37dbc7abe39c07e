"""Compresses trained networks by tensorflow-model-optimization: pruned weights, clustered weights, training under int8."""

from keras_dynamic.compress.compress import cluster, prune, quantize_aware

__all__ = ["cluster", "prune", "quantize_aware"]
