"""The losses of a network with several exits."""

from keras_dynamic.losses.distillation import distillation


def exit_losses(exits, deepest, loss, weights, alpha=1.0, temperature=1.0, sample_weight=None) -> list:
    """Returns each exit's weighted loss: alpha times its task loss, plus 1 - alpha times its distance from the deepest.

    The deepest exit teaches: its gradient is stopped there, and its own loss is the task loss alone.

    Args:
        exits: list of float tensors, [batch, classes], the logits of all exits but the deepest.
        deepest: float tensor, [batch, classes].
        loss: function from logits [batch, classes] to the task loss, a scalar tensor, under sample weights if any.
        weights: list of numbers, lambda of each of the exits.
        alpha: share of the task loss, in [0, 1]; 1 for no distillation.
        temperature: of both softmaxes of the distance, KL(deepest || exit), which is multiplied by its square.
        sample_weight: float tensor [batch], of the distance; None for 1 each.

    Returns:
        List of scalar tensors, one per exit.

    Raises:
        ValueError: if alpha is less than 1 and there is one logit.

    Source: IMTA, equations 1, 7 and 8; the square of the temperature is Hinton et al.'s (2015).
    """
    losses = []
    for logits, weight in zip(exits, weights, strict=True):
        found = loss(logits)
        if alpha < 1:
            found = alpha * found + (1 - alpha) * distillation(logits, deepest, temperature, sample_weight)
        losses.append(weight * found)
    return losses
