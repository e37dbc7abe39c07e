"""Batch norm of a training step as one operation."""

import keras
from keras import ops


def has_fused_batch_norm(dtype: str) -> bool:
    """Returns whether the backend has batch norm of a dtype, and its gradient, as one operation each."""
    return keras.backend.backend() == "tensorflow" and dtype in ("float16", "bfloat16", "float32")


def fused_batch_norm(x, scale, offset, epsilon):
    """Normalises images by the statistics of their batch; on the TensorFlow backend alone.

    Keras computes the statistics, the quotient and their gradients with some twenty operations, each of which goes
    through all of the memory; TensorFlow has one for the forward and one for the backward pass.

    Args:
        x: float16, bfloat16 or float32 [batch, height, width, channels].
        scale: [channels].
        offset: [channels].
        epsilon: added to the variances.

    Returns:
        (x normalised, times scale plus offset, in the dtype of x; mean float32 [channels]; variance float32 [channels],
        the sum of squares over their number, as Keras has it).
    """
    import tensorflow as tf

    found = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=ops.cast(scale, "float32"),
        offset=ops.cast(offset, "float32"),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
        is_training=True,
    )
    # TensorFlow divides the sum of squares by one less than their number.
    count = ops.cast(ops.prod(ops.shape(x)[:3]), "float32")
    return found.y, found.batch_mean, found.batch_variance * ((count - 1) / count)
