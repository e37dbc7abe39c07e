"""Compresses trained networks by tensorflow-model-optimization: weights pruned, clustered, or trained for int8."""

from keras_dynamic.compress.compress import cluster, prune, quantize_aware

__all__ = ["cluster", "prune", "quantize_aware"]
