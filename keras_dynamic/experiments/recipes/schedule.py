"""What the methods of a config share: the arguments of methods.Method, and what a schedule is."""

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


def shared_arguments(config, teacher) -> dict:
    """Returns the arguments that every methods.Method has.

    Args:
        config: a config's `method` section.
        teacher: network to distil from; None for none.
    """
    return {
        "weight_decay": config.weight_decay,
        "teacher": teacher,
        "distillation_weight": config.distillation_weight,
        "distillation_temperature": config.distillation_temperature,
    }
