"""Random numbers that differ from replica to replica."""

import keras

_STRIDE = 1_000_003  # between the seeds of two replicas, so that a seed beside this one is not another replica's


class SeedGenerator(keras.random.SeedGenerator):
    """keras.random.SeedGenerator that gives each replica of a tf.distribute strategy seeds of its own.

    Keras mirrors the state, so that all replicas would draw the same numbers for different images. With one replica,
    and on JAX, where a batch is drawn as a whole, it is Keras' own.
    """

    def next(self, ordered=True):
        """Returns the next seed, an int tensor [2]; arguments as in Keras."""
        seed = super().next(ordered)
        if keras.backend.backend() != "tensorflow":
            return seed
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        # Added to the key: in the counter it would be what another replica draws next.
        return seed + tf.cast(tf.stack([context.replica_id_in_sync_group * _STRIDE, 0]), seed.dtype)
