"""What a training runs on: one device, all devices of a machine, workers on several machines, or a TPU."""

import contextlib
import functools

import keras

from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.workers import read_cluster
from keras_dynamic.messages import check_count

STRATEGIES = ("", "mirrored", "workers", "tpu")


class Devices:
    """The devices of a training; `devices` makes it.

    Args:
        strategy: tf.distribute.Strategy, keras.distribution.DataParallel, or None for one device.
        index: number of this worker.
        workers: number of workers, 1 for a training in one process.

    Attributes:
        replicas: parts into which each batch is split.
        chief: whether this worker writes the run's files and measures what came of the training.
    """

    def __init__(self, strategy=None, index=0, workers=1):
        self._strategy, self._index, self._workers = strategy, index, workers
        self._of_keras = isinstance(strategy, keras.distribution.DataParallel)
        self.chief = index == 0
        if strategy is None:
            self.replicas = 1
        else:
            self.replicas = strategy.num_model_replicas if self._of_keras else strategy.num_replicas_in_sync

    def building(self):
        """Returns a context in which a model to be trained on these devices is built and compiled."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def fitting(self):
        """Returns a context in which it is trained; a model of TensorFlow knows its strategy by itself."""
        return self._strategy.scope() if self._of_keras else contextlib.nullcontext()

    def check_batches(self, batch_size, images):
        """Raises a ValueError unless every batch of an epoch can be split equally, so that all images count alike.

        Args:
            batch_size: images per batch, of all replicas together.
            images: images per epoch.
        """
        check_count("batch_size", batch_size)
        last = images % batch_size
        for size, what in ((batch_size, "batch_size"), (last, f"the last batch of {images} images")):
            if size % self.replicas:
                raise ValueError(
                    f"each batch is split equally among {self.replicas} replicas, but {what} is {size}; choose a "
                    f"batch_size that leaves multiples of {self.replicas}."
                )

    def together(self, prepare):
        """Returns what a function returns, once it has returned on every worker.

        Args:
            prepare: function without arguments, such as one that loads data.

        Raises:
            ValueError: if it raised a ValueError or an OSError on another worker; its own error is raised as it is.
        """
        if self._workers == 1:
            return prepare()
        found, error = None, None
        try:
            found = prepare()
        except (ValueError, OSError) as raised:
            error = raised
        failed = self._failed(error is not None)
        if error is not None:
            raise error
        if failed:
            raise ValueError(f"worker {failed[0]} cannot start, this one could; see what worker {failed[0]} says.")
        return found

    def _failed(self, failed):
        """Returns the numbers of the workers that give True."""
        import tensorflow as tf

        mine = tf.one_hot(self._index, self._workers) * float(failed)
        values = self._strategy.experimental_distribute_values_from_function(lambda context: mine)
        return [k for k, value in enumerate(self._strategy.reduce("SUM", values, axis=None).numpy()) if value]


@functools.cache
def devices(name):
    """Returns the Devices of a config's `distribute`; those of a name are made once in a process.

    Args:
        name: '' for one device; 'mirrored' for all GPUs of this machine, or all CPU devices where there are none; on
            JAX, for all devices of its default platform. 'workers', on TensorFlow, for processes on several machines,
            each with TF_CONFIG in its environment; a process must ask for it before it uses TensorFlow. 'tpu', on
            TensorFlow, for the TPU that TPU_NAME or this machine's environment names; it has not been tried on one.

    Raises:
        ValueError: if the name is unknown, or the backend does not have it; or TF_CONFIG is missing or wrong.
    """
    if name == "parameter_server":
        raise ValueError(
            "distribute cannot be 'parameter_server': Keras' fit has no asynchronous training; use 'mirrored' for the "
            "GPUs of one machine, or 'workers' for several machines."
        )
    check_choice("distribute", name, STRATEGIES)
    backend = keras.backend.backend()
    if backend == "jax" and name == "mirrored":
        return Devices(keras.distribution.DataParallel(devices=keras.distribution.list_devices()))
    if name and backend != "tensorflow":
        raise ValueError(
            f"distribute={name!r} needs the TensorFlow backend, got {backend!r}; set KERAS_BACKEND=tensorflow."
        )
    return _MADE[name]()


def _mirrored():
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return Devices(tf.distribute.MirroredStrategy([device.name for device in found]))


def _workers():
    import tensorflow as tf

    cluster = read_cluster()
    return Devices(tf.distribute.MultiWorkerMirroredStrategy(), cluster.number, len(cluster.workers))


def _tpu():
    import tensorflow as tf

    return Devices(tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect()))


_MADE = {"": Devices, "mirrored": _mirrored, "workers": _workers, "tpu": _tpu}
