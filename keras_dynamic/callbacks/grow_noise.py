"""Noise that grows in the course of a training."""

import numbers

import keras

from keras_dynamic.messages import check_number


class GrowNoise(keras.callbacks.Callback):
    """Sets the noise of a decider such as deciders.BinaryMaskNetwork epoch by epoch.

        model.fit(x, y, epochs=20, callbacks=[kd.callbacks.GrowNoise(np.linspace(0, 2, 10))])

    It depends on the epoch's number alone, so that a resumed run goes on where it was.

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
