"""What the methods of a config share: the arguments of methods.Method, and what a schedule is."""

from typing import NamedTuple

import keras


class Schedule(NamedTuple):
    """Callbacks of a method, and which of its epochs may be kept.

    Attributes:
        callbacks: list of Keras callbacks.
        settled: the first epoch (from 0) at which the schedule has come to its end; earlier ones are not kept.
        monitor: held-out metric, higher is better, by which the best epoch is chosen.
    """

    callbacks: list[keras.callbacks.Callback]
    settled: int
    monitor: str


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
