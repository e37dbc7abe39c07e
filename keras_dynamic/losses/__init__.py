"""Losses on decisions, cost and answers, as pure functions."""

from keras_dynamic.losses.activation import ACTIVATION_LOSSES, batch_activation, mac_weighted, per_gate
from keras_dynamic.losses.distillation import distillation
from keras_dynamic.losses.drop_ratio import drop_ratio
from keras_dynamic.losses.exit_rate import exit_rate
from keras_dynamic.losses.exits import exit_losses
from keras_dynamic.losses.labels import class_indices, cross_entropy
from keras_dynamic.losses.variable_target import VARIABLE_TARGETS, exponential_target, moving_target
from keras_dynamic.losses.weight_decay import weight_decay

__all__ = [
    "ACTIVATION_LOSSES",
    "VARIABLE_TARGETS",
    "batch_activation",
    "class_indices",
    "cross_entropy",
    "distillation",
    "drop_ratio",
    "exit_losses",
    "exit_rate",
    "exponential_target",
    "mac_weighted",
    "moving_target",
    "per_gate",
    "weight_decay",
]
