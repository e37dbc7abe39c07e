"""The losses of a network with several exits."""

import keras
from keras import ops

from keras_dynamic.losses.distillation import distillation


def exit_losses(logits, labels, weights, alpha=1.0, temperature=1.0) -> list:
    """Returns each exit's weighted loss: alpha times cross entropy, plus 1 - alpha times its distance from the deepest.

    The deepest exit teaches and has cross entropy alone; its gradient is stopped where it teaches.

    Args:
        logits: list of float tensors, [batch, classes], the deepest exit last.
        labels: int tensor, [batch].
        weights: list of numbers, lambda of each exit.
        alpha: share of the cross entropy, in [0, 1]; 1 for no distillation.
        temperature: of both softmaxes of the distance, KL(deepest || exit), which is multiplied by its square.

    Returns:
        List of scalar tensors, one per exit.

    Source: IMTA, equations 1, 7 and 8; the square of the temperature is Hinton et al.'s (2015).
    """
    losses = []
    for each, weight in zip(logits, weights, strict=True):
        wrong = keras.losses.sparse_categorical_crossentropy(labels, ops.cast(each, "float32"), from_logits=True)
        loss = ops.mean(wrong)
        if alpha < 1 and each is not logits[-1]:
            loss = alpha * loss + (1 - alpha) * distillation(each, logits[-1], temperature)
        losses.append(weight * loss)
    return losses
