"""The mean of a batch under sample weights."""

from keras import ops


def mean_over_batch(values, sample_weight=None):
    """Returns the sum of values times sample weights over the number of images, as Keras' losses reduce a batch.

    Args:
        values: float tensor, [batch].
        sample_weight: float tensor, [batch] or [batch, 1]; None for 1 each.

    Returns:
        Scalar tensor.
    """
    if sample_weight is not None:
        values = values * ops.reshape(ops.cast(sample_weight, values.dtype), (-1,))
    return ops.mean(values)
