"""Callbacks: schedules of targets and noise, the best epoch, finite losses, and batch-norm re-estimation."""

from keras_dynamic.callbacks.batch_norm import ReestimateBatchNorm, reestimate_batch_norm
from keras_dynamic.callbacks.best import BestWithinTarget
from keras_dynamic.callbacks.finite_loss import RequireFiniteLoss
from keras_dynamic.callbacks.schedules import AnnealTarget, Curriculum, GrowNoise

__all__ = [
    "AnnealTarget",
    "BestWithinTarget",
    "Curriculum",
    "GrowNoise",
    "ReestimateBatchNorm",
    "RequireFiniteLoss",
    "reestimate_batch_norm",
]
