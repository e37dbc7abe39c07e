"""Re-estimation of batch-norm statistics."""

import itertools

import keras
import numpy as np

from keras_dynamic import keras_hooks
from keras_dynamic.data import batches_of


def reestimate_batch_norm(model, batches, decisions=None, steps=None):
    """Replaces the moving statistics of the chain's batch norms by means over batches, and returns the model.

    Each batch goes through in training mode under the decisions that inference takes with the statistics from before
    (or under given ones), whatever the other batches are; call it again to decide with the new ones. Gates keep their
    statistics. Use augmented training images: the zero padding of crops is part of the statistics.

    Args:
        model: DynamicModel.
        batches: tf.data.Dataset, keras.utils.PyDataset or other iterable of batches, [batch, ...] or (inputs, labels).
        decisions: {name: 0 or 1} for all images, e.g. a static pattern; None lets the decider decide.
        steps: batches to take, None for all.

    Raises:
        ValueError: if there is no batch.

    Source: Herrmann et al., section 4.1 (a pass with learning rate zero before the final evaluation).
    """
    norms = [
        layer for layer in keras_hooks.all_layers(model.chain) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    kept = [(norm.momentum, norm.trainable) for norm in norms]
    before: list[np.ndarray] = []
    sums, seen = before, 0
    try:
        for norm in norms:
            norm.trainable, norm.momentum = True, 0.0  # after a batch the moving statistics are that batch's
        for batch in itertools.islice(batches_of(batches), steps):
            images = batch[0] if isinstance(batch, (tuple, list)) else batch
            model.build((None, *images.shape[1:]))
            if decisions is None:
                taken = model.outcome(images, training=False).decisions
            else:
                taken = {name: keras.ops.full((len(images),), float(run)) for name, run in decisions.items()}
            if not seen:
                before = _statistics(norms)
            model.outcome(images, decisions=taken, training=True)
            found = _statistics(norms)
            sums = [total + value for total, value in zip(sums, found, strict=True)] if seen else found
            _set_statistics(norms, before)
            seen += 1
    finally:
        if before:
            _set_statistics(norms, before)
        for norm, (momentum, trainable) in zip(norms, kept, strict=True):
            norm.momentum, norm.trainable = momentum, trainable
    if not seen:
        raise ValueError("reestimate_batch_norm got no batch; give an iterable of image batches.")
    _set_statistics(norms, [total / seen for total in sums])
    return model


def _statistics(norms):
    """Returns the moving means and variances as a flat list of arrays."""
    return [keras.ops.convert_to_numpy(each).astype(np.float64) for norm in norms for each in _variables(norm)]


def _set_statistics(norms, values):
    """Sets the moving means and variances."""
    for variable, value in zip([each for norm in norms for each in _variables(norm)], values, strict=True):
        variable.assign(value.astype(np.float32))


def _variables(norm):
    return norm.moving_mean, norm.moving_variance


class ReestimateBatchNorm(keras.callbacks.Callback):
    """Runs reestimate_batch_norm when training ends.

    Args:
        batches: iterable of image batches, or of (images, labels).
        steps: batches to take, None for all.
    """

    def __init__(self, batches, steps=None):
        super().__init__()
        self.batches, self.steps = batches, steps

    def on_train_end(self, logs=None):
        """Re-estimates the statistics."""
        reestimate_batch_norm(self.model, self.batches, steps=self.steps)
