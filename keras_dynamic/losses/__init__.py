"""Losses on decisions, cost and answers, as pure functions."""

from keras_dynamic.losses.activation import ACTIVATION_LOSSES, batch_activation, mac_weighted, per_gate
from keras_dynamic.losses.distillation import distillation
from keras_dynamic.losses.weight_decay import weight_decay

__all__ = ["ACTIVATION_LOSSES", "batch_activation", "distillation", "mac_weighted", "per_gate", "weight_decay"]
