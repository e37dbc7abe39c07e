"""The answer that logits give."""

from keras import ops

from keras_dynamic.ops.labels import check_classes


def predicted_class(logits):
    """Returns the index of the largest logit, the first of equal ones.

    It looks for the largest among marks, not among the logits: for floats keras.ops.argmax adds operations on their
    sign bits, which no int8 file can have.

    Args:
        logits: float tensor, [batch, classes].

    Returns:
        int32 tensor, [batch].

    Raises:
        ValueError: if there is one logit per image.
    """
    logits = ops.convert_to_tensor(logits)
    check_classes(logits.shape[-1], "a predicted class")
    largest = logits >= ops.max(logits, axis=-1, keepdims=True)
    return ops.argmax(ops.cast(largest, "int8"), axis=-1)
