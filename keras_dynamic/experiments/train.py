"""One training run, resumable by running the same command again."""

import contextlib
import os
from pathlib import Path

import keras

from keras_dynamic import data
from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.experiments.build import METHODS, build_method, build_network, build_optimizer
from keras_dynamic.experiments.checkpoint import Checkpoint, Scalars, check_shapes, load_weights, read_note, save
from keras_dynamic.experiments.history import ActivationHistory
from keras_dynamic.experiments.run_record import RunRecord
from keras_dynamic.experiments.splits import Splits, check_fit, load_splits
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import dtype_policy_scope

HISTORY = "activation_rates.csv"
_HISTORY_IMAGES = 1000  # a rate is known to 2 points at worst, in a hundredth of an epoch's time
_AFTERWARDS = ("job", "label", "evaluation", "targets")  # sections of a config that change nothing in the training


def train(config, workdir, data_dir=None, verbose="auto", callbacks=()):
    """Trains the method that a config describes, or goes on where an earlier run in this folder stopped.

    The folder gets config.json and run.json, checkpoint/ (removed at the end), tensorboard/ (where TensorFlow is the
    backend), activation_rates.csv, the share of the first held-out images that run each decision after each epoch,
    best.keras, the best model on held-out images once the method's schedule has come to its end, and model.keras, that
    model with batch norm re-estimated if the config says so. Nothing is written before config and data are known to
    fit.

    Args:
        config: ml_collections ConfigDict, see configs/.
        workdir: folder of the run.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.
        verbose: as in keras.Model.fit.
        callbacks: further Keras callbacks.

    Returns:
        (model, splits): the trained DynamicModel in float32, and the data as returned by load_splits.

    Raises:
        ValueError: if the folder holds another config's run or checkpoint, or the config does not fit together.
        FileNotFoundError: if the data, the weights or the run to start from that the config names are not there.
    """
    record = RunRecord(workdir, {key: value for key, value in config.to_dict().items() if key not in _AFTERWARDS})
    splits = load_splits(config.data, data_dir)
    check_fit(splits, config)
    final, best = record.workdir / "model.keras", record.workdir / "best.keras"
    keras.utils.set_random_seed(config.seed)
    if record.finished and final.exists():
        return load_weights(build(config), final), splits
    batches = training_batches(config, splits)
    with _strategy(config.distribute), _precision(config.mixed_precision):
        model = build(config)
        model.compile(
            build_optimizer(config.optimizer, len(batches), config.epochs),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        if config.start_from:
            start_from(model, config.start_from)
        checkpoint = Checkpoint(record.workdir / "checkpoint")
        batches.epoch = checkpoint.restore(model)
    schedule = METHODS[config.method.name].schedule(config, model, len(batches))
    record.start()
    if schedule.before is not None and not batches.epoch:
        schedule.before(training_batches(config, splits))
    keeper = _KeepBest(record, best, schedule)
    history = ActivationHistory(record.workdir / HISTORY, splits.held_out[0][:_HISTORY_IMAGES])
    scalars = [Scalars(record.workdir / "tensorboard")] if keras.backend.backend() == "tensorflow" else []
    model.fit(
        batches,
        initial_epoch=batches.epoch,
        epochs=config.epochs,
        validation_data=splits.held_out,
        validation_batch_size=250,
        callbacks=[*schedule.callbacks, _Follow(batches), keeper, history, checkpoint, *scalars, *callbacks],
        shuffle=False,
        verbose=verbose,
    )
    chosen = read_note(best)
    model = load_weights(build(config), best)  # in float32, whatever the precision of the training
    if config.reestimate_images:
        reestimate_batch_norm(model, reestimation_batches(config, splits))
    save(model, final, optimizer=False)
    record.finish(chosen["metrics"] | {"best_epoch": chosen["epoch"]})
    checkpoint.remove()
    return model, splits


def build(config):
    """Builds the method's model around the config's network, with a second copy of that network as its teacher.

    Args:
        config: ml_collections ConfigDict, see configs/.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the config does not fit together.
    """
    distilled = config.method.distillation_weight and config.network.weights
    teacher = build_network(config.network) if distilled else None
    return build_method(config.method, build_network(config.network), teacher, config.seed)


def training_batches(config, splits: Splits, epoch=0):
    """Returns data.Batches, or data.StreamBatches, of the training images, augmented as the config says.

    Args:
        config: ml_collections ConfigDict, see configs/.
        splits: Splits.
        epoch: whose order and augmentation they have at first.
    """
    if isinstance(splits.train, data.ImageStream):
        return data.StreamBatches(splits.train, config.batch_size, config.data.augment, config.seed, epoch)
    augment = data.random_crop_flip if config.data.augment else None
    x, y = splits.train
    return data.Batches(x, y, config.batch_size, augment, seed=config.seed, epoch=epoch)


def reestimation_batches(config, splits: Splits):
    """Returns augmented training batches for batch norm, config.reestimate_images in all; None if these are 0.

    Args:
        config: ml_collections ConfigDict, see configs/.
        splits: Splits.
    """
    if not config.reestimate_images:
        return None
    batches = training_batches(config, splits, epoch=config.epochs)
    count = max(1, config.reestimate_images // config.batch_size)
    return [batches[index] for index in range(min(count, len(batches)))]


def start_from(model, run):
    """Sets the weights of what a method trains to those of another run's model; losses and targets are its own.

    Newcomers that only one of the two has, such as IMTA's collaboration in phase II, are left as they are.

    Args:
        model: built DynamicModel.
        run: folder of a run, or path of a .keras file; environment variables are expanded.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it has another architecture; the model stays as it was.
    """
    path = Path(os.path.expandvars(run))
    path = path / "model.keras" if path.suffix != ".keras" else path
    if not path.exists():
        raise FileNotFoundError(
            f"start_from names {str(path)!r}, which is not there; run the training it comes from first."
        )
    other = keras.models.load_model(path, compile=False)
    if not isinstance(other, DynamicModel):
        raise ValueError(f"start_from names {str(path)!r}, which holds a {type(other).__name__}; give a run's model.")
    theirs = other.transferable
    missing = [role for role in model.transferable if role not in theirs]
    if missing:
        raise ValueError(
            f"start_from names {str(path)!r}, a {type(other).__name__} without {' and '.join(missing)}, which this "
            f"{type(model).__name__} goes on training; start from a run that has it."
        )
    anew = [*model.new_layers, *other.new_layers] if len(model.new_layers) != len(other.new_layers) else []
    skipped = {id(variable) for layer in anew for variable in layer.weights}
    parts = [
        [[variable for variable in part.weights if id(variable) not in skipped] for part in (mine, theirs[role])]
        for role, mine in model.transferable.items()
    ]
    for mine, their in parts:
        check_shapes([variable.shape for variable in their], mine, model, path)
    for mine, their in parts:
        for variable, value in zip(mine, their, strict=True):
            variable.assign(keras.ops.convert_to_numpy(value))
    return model


class _KeepBest(keras.callbacks.Callback):
    """Notes each epoch's metrics and saves the best model on held-out images among those that may be kept.

    The model and the epoch that it is of are one file, so that they agree wherever a run is interrupted.
    """

    def __init__(self, record, path, schedule):
        super().__init__()
        self.record, self.path, self.schedule = record, path, schedule

    def on_epoch_end(self, epoch, logs=None):
        """Notes the metrics; saves the model if it is the best, or none since the schedule's end was saved before."""
        self.record.add_epoch(epoch, logs or {})
        metrics, monitor = self.record.epochs[epoch], self.schedule.monitor
        if epoch <= self.schedule.first_kept or metrics[monitor] > read_note(self.path)["metrics"][monitor]:
            save(self.model, self.path, optimizer=False, note={"epoch": epoch, "metrics": metrics})


class _Follow(keras.callbacks.Callback):
    """Tells the batches which epoch is being served; where there are one or two of them they cannot know."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch."""
        self.batches.epoch = epoch


def _precision(mixed):
    """Builds layers that compute in bfloat16 and keep float32 weights, if mixed."""
    return dtype_policy_scope("mixed_bfloat16") if mixed else contextlib.nullcontext()


def _strategy(name):
    """Returns the scope of a tf.distribute strategy: '' for none, 'mirrored' for all GPUs of this machine."""
    if not name:
        return contextlib.nullcontext()
    if name != "mirrored" or keras.backend.backend() != "tensorflow":
        raise ValueError(f"distribute must be '' or 'mirrored', the latter on the TensorFlow backend, got {name!r}.")
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices]).scope()
