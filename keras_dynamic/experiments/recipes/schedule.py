"""What the recipes share: the arguments of methods.Method, and what a schedule is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras


class Schedule(NamedTuple):
    """What a method does besides fit's own steps, and which of its epochs may be kept.

    Attributes:
        callbacks: list of Keras callbacks.
        first_kept: the first epoch (from 0) at which the schedule has come to its end; earlier ones are not kept.
        monitor: held-out metric, higher is better, by which the best epoch is chosen.
        before: called with batches of the training images before the first epoch; None for nothing.
    """

    callbacks: list[keras.callbacks.Callback]
    first_kept: int
    monitor: str
    before: Callable[[Any], Any] | None = None


def shared_arguments(run) -> dict:
    """Returns the arguments that every methods.Method has, as the run's config sets them."""
    method = run.config.method
    return {
        "weight_decay": method.weight_decay,
        "teacher": run.teacher,
        "distillation_weight": method.distillation_weight,
        "distillation_temperature": method.distillation_temperature,
    }
