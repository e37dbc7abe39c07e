"""Keeps the best epoch of a training that comes down to a target."""

import warnings

import keras
import numpy as np

from keras_dynamic.messages import check_number, is_count


class BestWithinTarget(keras.callbacks.Callback):
    """Keeps the weights of the best epoch among those that meet the target: ModelCheckpoint and EarlyStopping in one.

    While AnnealTarget still lowers the target, or a Curriculum still holds units open, the network computes more than
    it will, so that an early epoch is the most accurate; such epochs do not count. Nor do those in which the network
    runs more than the target (`over_target` of the method, where the logs tell).

        best = kd.callbacks.BestWithinTarget("best.keras", patience=5)
        model.fit(x, y, validation_data=held_out, epochs=60, callbacks=[kd.callbacks.AnnealTarget(), best])

    Put it after the callback that lowers the target. When training ends the model has the best epoch's weights.

    Args:
        filepath: .keras file to which each new best model is written; None writes none.
        monitor: name in the logs.
        mode: 'max' or 'min'; None for what the name tells: 'max' of an accuracy, 'min' of a loss or error, and so on.
        patience: epochs that count without a better one, after which training stops; None never stops.
        tolerance: by which the share that runs may exceed the target.

    Attributes:
        best: value of the best epoch; None if none has counted.
        best_epoch: its number, from 0.

    Raises:
        ValueError: if mode or patience cannot be, or the name does not tell the mode; at the end of a training, if the
            logs never had `monitor`.

    Warns:
        UserWarning: at the end, if no epoch met the target; the last weights stay.
    """

    def __init__(self, filepath=None, monitor="val_accuracy", mode=None, patience=None, tolerance=0.02):
        super().__init__()
        if mode not in (None, "max", "min"):
            raise ValueError(f"mode must be 'max', 'min' or None, got {mode!r}.")
        if patience is not None and not is_count(patience):
            raise ValueError(f"patience must be a number of epochs, at least 1, or None, got {patience!r}.")
        self.filepath, self.monitor, self.patience = filepath, monitor, patience
        self.mode = mode or _mode_of(monitor)
        self.tolerance = check_number("tolerance", tolerance)
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        """Forgets earlier trainings."""
        self.best, self.best_epoch, self._weights, self._since, self._seen = None, None, None, 0, {}

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the epoch's weights if it counts and is better than all before."""
        self._seen |= logs or {}
        value = float((logs or {}).get(self.monitor, np.nan))  # with validation_freq some epochs have none
        if not np.isfinite(value) or not self._counts(logs):
            return
        if self.best is None or (value > self.best if self.mode == "max" else value < self.best):
            self.best, self.best_epoch, self._since = value, epoch, 0
            self._weights = self.model.get_weights()
            if self.filepath is not None:
                self.model.save(self.filepath)
            return
        self._since += 1
        if self.patience is not None and self._since >= self.patience:
            self.model.stop_training = True

    def _counts(self, logs):
        """Returns whether the target is reached, and the network runs no more than that."""
        over = getattr(self.model, "over_target", None)
        return getattr(self.model, "target_reached", True) and not (over and over(logs, self.tolerance))

    def on_train_end(self, logs=None):
        """Restores the best epoch's weights."""
        if self._seen and self.monitor not in self._seen:
            raise ValueError(
                f"the logs have no {self.monitor!r}; they have {sorted(self._seen)}. Set monitor, or metrics."
            )
        if self._weights is None:
            warnings.warn(
                "no epoch met the target, so the last weights stay; train longer, or raise the target.",
                stacklevel=2,
            )
        else:
            self.model.set_weights(self._weights)


_RISING = ("acc", "auc", "precision", "recall", "f1", "iou", "r2", "agreement", "reward")
_FALLING = ("loss", "error", "mae", "mse", "rmse", "mape", "msle", "entropy", "divergence", "macs")


def _mode_of(monitor) -> str:
    """Returns 'max' or 'min' for a name in the logs, or raises a ValueError if it tells neither."""
    if any(word in monitor for word in _RISING):
        return "max"
    if any(word in monitor for word in _FALLING):
        return "min"
    raise ValueError(f"mode must be given for {monitor!r}, whose name does not tell whether more is better.")
