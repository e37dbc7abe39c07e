"""Batch-norm statistics measured anew."""

import itertools

import keras


def reestimate_batch_norm(model, batches, decisions=None, steps=None):
    """Replaces every batch norm's moving statistics in the chain by their mean over batches of images.

    Each batch goes through in training mode under the decisions that inference takes (or under given ones), so the
    statistics are those of the network as it will run. Gates keep theirs. Use augmented training images: the zero
    padding of crops is part of the statistics.

    Args:
        model: DynamicModel.
        batches: iterable of image batches [batch, height, width, channels], or of (images, labels).
        decisions: {name: 0 or 1} for all images, e.g. a static pattern; None lets the decider decide.
        steps: batches to take, None for all.

    Returns:
        The model.

    Raises:
        ValueError: if there is no batch.

    Source: Herrmann et al., section 4.1 (a pass with learning rate zero before the final evaluation).
    """
    norms = [layer for layer in model.chain._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [(norm.momentum, norm.trainable) for norm in norms]
    seen = 0
    try:
        for norm in norms:
            norm.trainable = True
        for batch in itertools.islice(batches, steps):
            images = batch[0] if isinstance(batch, (tuple, list)) else batch
            if decisions is None:
                taken = model.outcome(images, training=False).decisions
            else:
                taken = {name: keras.ops.full((len(images),), float(run)) for name, run in decisions.items()}
            for norm in norms:
                norm.momentum = seen / (seen + 1)
            model.outcome(images, decisions=taken, training=True)
            seen += 1
    finally:
        for norm, (momentum, trainable) in zip(norms, kept, strict=True):
            norm.momentum, norm.trainable = momentum, trainable
    if not seen:
        raise ValueError("reestimate_batch_norm got no batch; give an iterable of image batches.")
    return model


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
        """Measures the statistics anew."""
        reestimate_batch_norm(self.model, self.batches, steps=self.steps)
