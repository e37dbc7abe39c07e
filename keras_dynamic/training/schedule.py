"""What a method does in the course of a training."""

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
