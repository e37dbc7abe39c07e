"""Labels as Keras users give them, and the cross entropy with them."""

import keras
from keras import ops

from keras_dynamic.ops import mean_over_batch


def class_indices(y, classes):
    """Returns labels as class numbers.

    Args:
        y: int [batch] or [batch, 1], or one-hot or soft [batch, classes], of which the largest counts.
        classes: number of classes.

    Returns:
        Tensor [batch].

    Raises:
        ValueError: if there is one class, as in binary classification by one logit or in regression, or the labels have
            another shape.
    """
    y = ops.convert_to_tensor(y)
    return ops.argmax(y, -1) if _distributions(y, classes) else ops.reshape(y, (-1,))


def cross_entropy(y, logits, sample_weight=None):
    """Returns the cross entropy of logits with labels, mean over the batch.

    Args:
        y: labels, int [batch] or [batch, 1], or one-hot or soft [batch, classes].
        logits: float tensor, [batch, classes].
        sample_weight: float tensor [batch], or None.

    Returns:
        Scalar tensor.

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
