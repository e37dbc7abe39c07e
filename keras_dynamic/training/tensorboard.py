"""Metrics for TensorBoard, written without the package tensorboard."""

import keras


class Scalars(keras.callbacks.Callback):
    """Writes each epoch's metrics as TensorBoard's scalars: epoch_NAME, train and validation in folders of their own.

    keras.callbacks.TensorBoard writes the same, but needs the package tensorboard, which TensorFlow no longer brings.
    Looking at the files needs it: tensorboard --logdir FOLDER.

    Args:
        folder: for the event files.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)
        self._writers = {}

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's metrics."""
        import tensorflow as tf

        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
        for name, value in (logs or {}).items():
            split = "validation" if name.startswith("val_") else "train"
            if split not in self._writers:
                self._writers[split] = tf.summary.create_file_writer(f"{self.folder}/{split}")
            with self._writers[split].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, tf.constant(float(value), tf.float32), step=epoch, metadata=metadata)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
