"""Callbacks that change a variable in the course of a training: target rate, curriculum, noise."""

import math
import numbers

import keras

from keras_dynamic.messages import check_fraction, check_number, is_count


class AnnealTarget(keras.callbacks.Callback):
    """Lowers the model's target rate from `start` by `a` every `k` epochs until each target is reached.

    It depends on the epoch's number alone, so that a resumed run continues where it was. Targets that follow the
    activation (ActivationGating's variable_target) restart in each epoch at the rate that it sets.

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
        first_kept = self.epochs_to(target)
        if first_kept >= epochs:
            raise ValueError(
                f"targets come down to {target} in epoch {first_kept + 1} only, but epochs is {epochs}; train "
                "longer, or raise anneal.a, or lower anneal.k or anneal.start."
            )
        return first_kept

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


class Curriculum(keras.callbacks.Callback):
    """Lets a policy decide the last unit alone at first, and one more of the trailing units every few epochs or steps.

    Units before those run. Once all are open nothing changes any more. A training resumed from a checkpoint continues
    the curriculum: the count follows fit's epoch, or the optimizer's steps; with steps_per_execution a step is
    seen when its execution begins.

    Args:
        epochs: epochs until the next unit is opened; give this or `steps`.
        steps: optimizer steps until the next unit is opened.

    Raises:
        ValueError: if both or neither are given or the number is not a whole one of at least 1; in training, if the
            model has no policy with a curriculum.

    Source: BlockDrop, section 3.3 (one unit an epoch).
    """

    def __init__(self, epochs=None, steps=None):
        super().__init__()
        given = [value for value in (epochs, steps) if value is not None]
        if len(given) != 1 or not is_count(given[0]):
            raise ValueError(
                f"a curriculum opens a unit every so many epochs or steps, one whole number of at least 1, got "
                f"epochs={epochs!r}, steps={steps!r}; the paper takes epochs=1."
            )
        self.epochs, self.steps = epochs, steps
        self._opened = None

    def set_model(self, model):
        """Takes the model to be trained, whose decider must be a policy."""
        if not hasattr(getattr(model, "decider", None), "open_last"):
            kind = type(getattr(model, "decider", model)).__name__
            raise ValueError(f"a curriculum needs a model with a policy, such as BlockDrop, got {kind}.")
        super().set_model(model)
        self._opened = None

    def on_epoch_begin(self, epoch, logs=None):
        """Opens the units of this epoch."""
        if self.epochs is not None:
            self._open(epoch // self.epochs + 1)

    def on_train_batch_begin(self, batch, logs=None):
        """Opens the units of this step."""
        if self.steps is not None and (self._opened is None or self._opened < len(self.model.chain.units)):
            done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
            self._open(done // self.steps + 1)

    def _open(self, count):
        if count != self._opened:
            self.model.decider.open_last(count)
            self._opened = count


class GrowNoise(keras.callbacks.Callback):
    """Sets the noise of a decider such as deciders.BinaryMaskNetwork epoch by epoch.

        model.fit(x, y, epochs=20, callbacks=[kd.callbacks.GrowNoise(np.linspace(0, 2, 10))])

    It depends on the epoch's number alone, so that a resumed run continues where it was.

    Args:
        magnitudes: standard deviation for each epoch, not falling; the last one stays from then on.

    Raises:
        ValueError: if there are none, one is negative or the schedule falls, or, when it is given its model, if no
            decider with noise is in it.

    Source: SGAD, section 3.1, which gives no figures.
    """

    def __init__(self, magnitudes):
        super().__init__()
        if isinstance(magnitudes, (str, numbers.Number)):
            raise ValueError(
                f"GrowNoise takes a list of the noise of each epoch, got {magnitudes!r}; write [{magnitudes}]."
            )
        self.magnitudes = [check_number("a magnitude of the noise", value) for value in magnitudes]
        if not self.magnitudes:
            raise ValueError("GrowNoise needs the noise of at least one epoch, got none; [0.] is no noise.")
        for epoch, (before, after) in enumerate(zip(self.magnitudes, self.magnitudes[1:], strict=False)):
            if after < before:
                raise ValueError(
                    f"noise must not fall, got {before} for epoch {epoch + 1} and {after} for epoch {epoch + 2}; sort "
                    "the magnitudes."
                )

    def set_model(self, model):
        """Takes the model to be trained, whose decider must have noise."""
        if not hasattr(getattr(model, "decider", None), "set_noise"):
            kind = type(getattr(model, "decider", model)).__name__
            raise ValueError(f"GrowNoise needs a model with a BinaryMaskNetwork, such as SGAD, got {kind}.")
        super().set_model(model)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the noise of this epoch."""
        self.model.decider.set_noise(self.magnitudes[min(epoch, len(self.magnitudes) - 1)])
