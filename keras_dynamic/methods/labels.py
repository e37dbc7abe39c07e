"""Labels as Keras users give them."""

from keras import ops


def class_indices(y, classes):
    """Returns labels as class numbers.

    Args:
        y: int [batch] or [batch, 1], or one-hot [batch, classes].
        classes: number of classes.

    Returns:
        Tensor [batch].
    """
    y = ops.convert_to_tensor(y)
    return ops.argmax(y, -1) if len(y.shape) == 2 and y.shape[-1] == classes else ops.reshape(y, (-1,))
