"""Batch norm that trains faster."""

import keras
from keras import ops

from keras_dynamic.ops.batch_statistics import fused_batch_norm, has_fused_batch_norm


@keras.saving.register_keras_serializable("keras_dynamic")
class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization, whose training step is one operation where the backend has one.

    Arguments, weights and numbers are Keras' own, up to rounding. On TensorFlow, images [batch, height, width,
    channels] that are normalised over their last axis take the faster way; everything else goes Keras' way.
    """

    def call(self, inputs, training=None, mask=None):
        """Returns the normalised inputs; arguments as in Keras."""
        if not (training and self.trainable and mask is None and self._can_fuse(inputs)):
            return super().call(inputs, training=training, mask=mask)
        x = ops.cast(inputs, self.compute_dtype)
        outputs, mean, variance = fused_batch_norm(x, self.gamma, self.beta, self.epsilon)
        for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(ops.cast(moving, "float32") * self.momentum + found * (1.0 - self.momentum))
        return outputs

    def _can_fuse(self, inputs):
        """Returns whether the one operation computes what Keras would."""
        plain = self.scale and self.center and not (self.renorm or self.synchronized)
        return plain and len(inputs.shape) == 4 and self.axis in (-1, 3) and has_fused_batch_norm(self.compute_dtype)
