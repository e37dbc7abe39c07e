"""One training run, resumable by running the same command again."""

import contextlib
import importlib.util
from pathlib import Path

import keras

from keras_dynamic import data
from keras_dynamic.callbacks import AnnealTarget, reestimate_batch_norm
from keras_dynamic.training.build import build_method, build_network, build_optimizer
from keras_dynamic.training.run_record import RunRecord


def train(config, workdir, data_dir=None, verbose="auto"):
    """Trains the method that a config describes, or goes on where an earlier run in this folder stopped.

    The folder gets config.json and run.json, checkpoint/ (removed at the end), tensorboard/ (where TensorFlow is the
    backend), best.keras, the model of best held-out accuracy among epochs at the final target, and model.keras, that
    model with batch norm re-estimated if the config says so.

    Args:
        config: ml_collections ConfigDict, see configs/.
        workdir: folder of the run.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.
        verbose: as in keras.Model.fit.

    Returns:
        (model, splits): the trained DynamicModel and the data as returned by load_splits.

    Raises:
        ValueError: if the folder holds another config's run, or the config does not fit together.
    """
    splits = load_splits(config.data, data_dir)
    record = RunRecord(workdir, config.to_dict())
    final = record.workdir / "model.keras"
    if record.finished and final.exists():
        return keras.models.load_model(final), splits
    keras.utils.set_random_seed(config.seed)
    batches = data.Batches(
        *splits.train, config.batch_size, data.random_crop_flip if config.data.augment else None, seed=config.seed
    )
    with _strategy(config.distribute), _precision(config.mixed_precision):
        model = _fresh(config)
        model.compile(
            build_optimizer(config.optimizer, len(batches), config.epochs),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
    annealed = AnnealTarget(config.anneal.a, config.anneal.k, config.anneal.start)
    best = _KeepBest(record, from_epoch=annealed.epochs_to(config.method.target))
    callbacks = [keras.callbacks.BackupAndRestore(str(record.workdir / "checkpoint")), annealed, _Follow(batches), best]
    if keras.backend.backend() == "tensorflow" and importlib.util.find_spec("tensorboard"):
        callbacks.append(keras.callbacks.TensorBoard(str(record.workdir / "tensorboard"), write_graph=False))
    model.fit(
        batches,
        epochs=config.epochs,
        validation_data=splits.held_out,
        validation_batch_size=250,
        callbacks=callbacks,
        shuffle=False,
        verbose=verbose,
    )
    model = _fresh(config)  # in float32, whatever the precision of the training
    model.set_weights(keras.models.load_model(best.path, compile=False).get_weights())
    if config.reestimate_images:
        count = max(1, config.reestimate_images // config.batch_size)
        reestimate_batch_norm(model, (batches[index] for index in range(min(count, len(batches)))))
    save(model, final, optimizer=False)
    record.finish({name: value for name, value in record.epochs[best.epoch].items()} | {"best_epoch": best.epoch})
    return model, splits


def _fresh(config):
    """Builds the method's model around the config's network, with that network as its teacher."""
    return build_method(config.method, build_network(config.network), build_network(config.network))


class Splits:
    """The arrays of a run: train, held_out and test, each (images uint8, labels int)."""

    def __init__(self, train, held_out, test, class_names):
        self.train, self.held_out, self.test, self.class_names = train, held_out, test, class_names


def load_splits(config, data_dir=None) -> Splits:
    """Loads a data set and holds out the last training images.

    Args:
        config: with name, held_out (images) and augment.
        data_dir: folder of the data set.

    Returns:
        Splits.

    Raises:
        ValueError: if the set is unknown, not there, or has too few images.
    """
    loaded = data.load(config.name, data_dir)
    train, held_out = data.hold_out(loaded.x_train, loaded.y_train, config.held_out)
    return Splits(train, held_out, (loaded.x_test, loaded.y_test), loaded.class_names)


def save(model, path, optimizer=True):
    """Saves a model under a temporary name and renames it.

    Args:
        model: keras.Model.
        path: ending in .keras.
        optimizer: whether the optimizer's state is saved too.
    """
    path = Path(path)
    temporary = path.with_name(f".partial_{path.name}")
    model.save(temporary, include_optimizer=optimizer)
    temporary.replace(path)


class _KeepBest(keras.callbacks.Callback):
    """Saves the model of best held-out accuracy, from the epoch on at which the targets have come down."""

    def __init__(self, record, from_epoch):
        super().__init__()
        self.record, self.from_epoch = record, from_epoch
        self.path = record.workdir / "best.keras"

    @property
    def epoch(self):
        """The best epoch so far: of those at the final target, or the last one if none has come there."""
        epochs = self.record.epochs
        allowed = range(min(self.from_epoch, len(epochs) - 1), len(epochs))
        return max(allowed, key=lambda index: epochs[index]["val_accuracy"])

    def on_epoch_end(self, epoch, logs=None):
        """Notes the metrics and saves the model if it is the best."""
        self.record.add_epoch(epoch, logs or {})
        if self.epoch == epoch:
            save(self.model, self.path, optimizer=False)


class _Follow(keras.callbacks.Callback):
    """Tells the batches which epoch is being served, also after a resumption."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch."""
        self.batches.epoch = epoch


@contextlib.contextmanager
def _precision(mixed):
    """Builds layers that compute in bfloat16 and keep float32 weights, if mixed."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if mixed else before)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def _strategy(name):
    """Returns the scope of a tf.distribute strategy: '' for none, 'mirrored' for all GPUs of this machine."""
    if not name:
        return contextlib.nullcontext()
    if name != "mirrored" or keras.backend.backend() != "tensorflow":
        raise ValueError(f"distribute must be '' or 'mirrored', the latter on the TensorFlow backend, got {name!r}.")
    import tensorflow as tf

    return tf.distribute.MirroredStrategy().scope()
