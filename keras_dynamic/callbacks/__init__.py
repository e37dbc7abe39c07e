"""Callbacks: schedules of targets and noise, and batch-norm re-estimation."""

from keras_dynamic.callbacks.anneal_target import AnnealTarget
from keras_dynamic.callbacks.curriculum import Curriculum
from keras_dynamic.callbacks.grow_noise import GrowNoise
from keras_dynamic.callbacks.reestimate import ReestimateBatchNorm, reestimate_batch_norm

__all__ = ["AnnealTarget", "Curriculum", "GrowNoise", "ReestimateBatchNorm", "reestimate_batch_norm"]
