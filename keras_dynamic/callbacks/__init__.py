"""Callbacks: schedules of targets and noise, the best epoch, and batch-norm re-estimation."""

from keras_dynamic.callbacks.batch_norm import ReestimateBatchNorm, reestimate_batch_norm
from keras_dynamic.callbacks.best import BestWithinTarget
from keras_dynamic.callbacks.schedules import AnnealTarget, Curriculum, GrowNoise

__all__ = [
    "AnnealTarget",
    "BestWithinTarget",
    "Curriculum",
    "GrowNoise",
    "ReestimateBatchNorm",
    "reestimate_batch_norm",
]
