"""Losses on decisions, cost and logits, as pure functions."""

from keras_dynamic.losses.activation import (
    ACTIVATION_LOSSES,
    VARIABLE_TARGETS,
    batch_activation,
    drop_ratio,
    exit_rate,
    exponential_target,
    mac_weighted,
    moving_target,
    per_gate,
)
from keras_dynamic.losses.task import class_indices, cross_entropy, distillation, exit_losses, weight_decay

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
