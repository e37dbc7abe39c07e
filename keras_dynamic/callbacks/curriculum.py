"""A policy's curriculum: one more trailing unit after another."""

import keras

from keras_dynamic.messages import is_count


class Curriculum(keras.callbacks.Callback):
    """Lets a policy decide the last unit alone at first, and one more of the trailing units every few epochs or steps.

    Units before those run. Once all are open nothing changes any more. A training that goes on from a checkpoint goes
    on in the curriculum: the count follows fit's epoch, or the optimizer's steps; with steps_per_execution a step is
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
