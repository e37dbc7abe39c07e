"""A target rate that falls step by step."""

import math

import keras

from keras_dynamic.messages import check_fraction, is_count


class AnnealTarget(keras.callbacks.Callback):
    """Lowers the model's target rate from `start` by `a` every `k` epochs until each target is reached.

    It depends on the epoch's number alone, so that a resumed run goes on where it was. Targets that follow the
    activation (ActivationGating's variable_target) start anew in each epoch, at the rate that it sets.

    Args:
        a: step, in (0, 1].
        k: epochs between steps, at least 1.
        start: first rate, in [0, 1].

    Raises:
        ValueError: if a, k or start is out of range, or, when it is given its model, that has no targets.

    Source: Herrmann et al., section S1.1 (a = 0.05, k = 5).
    """

    def __init__(self, a=0.05, k=5, start=1.0):
        super().__init__()
        if not is_count(k):
            raise ValueError(f"k must be a positive int, epochs between steps, got {k!r}.")
        self.a, self.k, self.start = check_fraction("a", a), k, check_fraction("start", start)
        if not self.a:
            raise ValueError(f"a must be positive, got {a!r}; start=0.0 anneals nothing.")

    def epochs_to(self, target) -> int:
        """Returns the first epoch at which the targets in force are the final ones.

        Args:
            target: final rate, or {unit name: rate}.
        """
        lowest = min(target.values()) if hasattr(target, "values") else target
        return max(0, math.ceil((self.start - lowest) / self.a - 1e-9)) * self.k

    def check_within(self, epochs, target) -> int:
        """Returns epochs_to(target), or raises a ValueError if a training of so many epochs does not get there.

        Args:
            epochs: of the training.
            target: final rate, or {unit name: rate}.
        """
        settled = self.epochs_to(target)
        if settled >= epochs:
            raise ValueError(
                f"targets come down to {target} in epoch {settled + 1} only, but epochs is {epochs}; train longer, or "
                "raise anneal.a, or lower anneal.k or anneal.start."
            )
        return settled

    def set_model(self, model):
        """Takes the model to be trained, which must have targets."""
        if not hasattr(model, "set_target_floor"):
            raise ValueError(
                f"AnnealTarget needs a model with targets, such as ActivationGating, got {type(model).__name__}."
            )
        super().set_model(model)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the target for this epoch."""
        self.model.set_target_floor(self.start - self.a * (epoch // self.k))
