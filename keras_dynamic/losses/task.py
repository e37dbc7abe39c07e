"""Losses on logits: cross entropy, distillation, several exits; and weight decay as PyTorch's optimizers have it."""

import keras
from keras import ops

from keras_dynamic.ops import divergence, mean_over_batch


def class_indices(y, classes):
    """Returns labels as class numbers, a tensor [batch].

    Args:
        y: int [batch] or [batch, 1], or one-hot or soft [batch, classes], of which the largest counts.
        classes: number of classes.

    Raises:
        ValueError: if there is one class, as in binary classification by one logit or in regression, or the labels have
            another shape.
    """
    y = ops.convert_to_tensor(y)
    return ops.argmax(y, -1) if _distributions(y, classes) else ops.reshape(y, (-1,))


def cross_entropy(y, logits, sample_weight=None):
    """Returns the cross entropy of logits with labels, mean over the batch, a scalar tensor.

    Args:
        y: labels, int [batch] or [batch, 1], or one-hot or soft [batch, classes].
        logits: float tensor, [batch, classes].
        sample_weight: float tensor [batch], or None.

    Raises:
        ValueError: as class_indices.
    """
    y, logits = ops.convert_to_tensor(y), ops.cast(logits, "float32")
    if _distributions(y, logits.shape[-1]):
        each = keras.losses.categorical_crossentropy(ops.cast(y, "float32"), logits, from_logits=True)
    else:
        each = keras.losses.sparse_categorical_crossentropy(ops.reshape(y, (-1,)), logits, from_logits=True)
    return mean_over_batch(each, sample_weight)


def _distributions(y, classes):
    """Returns whether labels are one-hot or soft rather than class numbers, or raises if they are neither."""
    if classes == 1:
        raise ValueError(
            "class numbers need two logits or more, got one (binary classification or regression); give the network "
            "two logits."
        )
    if len(y.shape) == 2 and y.shape[-1] == classes:
        return True
    if len(y.shape) == 1 or (len(y.shape) == 2 and y.shape[-1] == 1):
        return False
    raise ValueError(
        f"labels must be class numbers [batch] or [batch, 1], or one-hot or soft [batch, {classes}], got shape "
        f"{tuple(y.shape)}."
    )


def distillation(student_logits, teacher_logits, temperature=4.0, sample_weight=None, task="classes"):
    """Returns temperature^2 * KL(teacher || student), mean over the batch; the teacher's gradient is stopped.

    Args:
        student_logits: float tensor, [batch, ..., classes]; one logit is that of a binary classifier.
        teacher_logits: float tensor of the same shape.
        temperature: positive; divides both logits.
        sample_weight: float tensor [batch], or None.
        task: 'classes'; 'labels' compares each label's sigmoid; 'values' takes the squared difference, without a
            temperature.

    Returns:
        Scalar tensor.

    Source: Hinton et al. 2015.
    """
    found = divergence(student_logits, ops.stop_gradient(teacher_logits), temperature, task)
    factor = 1.0 if task == "values" else temperature**2
    return factor * mean_over_batch(found, sample_weight)


def exit_losses(exits, deepest, loss, weights, alpha=1.0, temperature=1.0, sample_weight=None, task="classes") -> list:
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
        task: as of distillation.

    Returns:
        List of scalar tensors, one per exit.

    Source: IMTA, equations 1, 7 and 8; the square of the temperature is Hinton et al.'s (2015).
    """
    losses = []
    for logits, weight in zip(exits, weights, strict=True):
        found = loss(logits)
        if alpha < 1:
            found = alpha * found + (1 - alpha) * distillation(logits, deepest, temperature, sample_weight, task)
        losses.append(weight * found)
    return losses


def weight_decay(variables, coefficient):
    """Returns coefficient / 2 * sum of squares: its gradient, coefficient * w, goes through the momentum.

    Keras' optimizers decouple their weight_decay, which is about ten times weaker at momentum 0.9.

    Args:
        variables: list of weights.
        coefficient: PyTorch's weight_decay.

    Returns:
        Scalar tensor; 0 for no variables.
    """
    return 0.5 * coefficient * sum((ops.sum(ops.square(ops.cast(v, "float32"))) for v in variables), ops.zeros(()))
