"""Ends a training whose loss is no finite number any more."""

import math

import keras


class RequireFiniteLoss(keras.callbacks.Callback):
    """Raises an error at the first batch after which the loss is no finite number, so that no such weights are kept.

    keras.callbacks.TerminateOnNaN ends `fit` as if all were well. Put it before callbacks that save.

    Raises:
        FloatingPointError: during `fit`, if the loss is not finite.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the mean loss of the epoch so far, which one loss that is not finite makes such."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in epoch {self._epoch + 1}, batch {batch + 1}; train with a lower learning rate, "
                "or lower weights of the losses."
            )
