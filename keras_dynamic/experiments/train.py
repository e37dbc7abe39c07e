"""One training run, resumable by running the same command again."""

import contextlib
import os
from pathlib import Path

import keras

from keras_dynamic.callbacks import RequireFiniteLoss, reestimate_batch_norm
from keras_dynamic.experiments.checkpoint import Checkpoint, Scalars, check_shapes, load_weights, read_note, save
from keras_dynamic.experiments.history import ActivationHistory
from keras_dynamic.experiments.strategy import devices
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import dtype_policy_scope

HISTORY = "activation_rates.csv"
_HISTORY_IMAGES = 1000  # a rate is known to 2 points at worst, in a hundredth of an epoch's time


def train(run, verbose="auto", callbacks=()):
    """Trains a run's model, or goes on where an earlier run in its folder stopped.

    The folder gets config.json and run.json, checkpoint/ (removed at the end), tensorboard/ (where TensorFlow is the
    backend), activation_rates.csv, the share of the first held-out images that run each decision after each epoch,
    best.keras, the best model on held-out images once the method's schedule has come to its end, and model.keras, that
    model with batch norm re-estimated if the config says so. Nothing is written before config and data are known to
    fit. Of several workers (config.distribute) the chief alone writes; all read the folder.

    Args:
        run: Run with splits and a folder, as Run.load returns it.
        verbose: as in keras.Model.fit.
        callbacks: further Keras callbacks.

    Returns:
        The trained DynamicModel in float32, which is run.model from now on; on workers that are not the chief, the
        model as it was after the last epoch.

    Raises:
        ValueError: if the folder holds the checkpoint of another network, or the config does not fit together.
        FileNotFoundError: if the weights or the run to start from that the config names are not there.
        FloatingPointError: if the loss is no finite number any more.
        BlockingIOError: if another run is writing into the folder.
    """
    config, record, splits = run.config, run.record, run.splits
    final, best = record.workdir / "model.keras", record.workdir / "best.keras"
    keras.utils.set_random_seed(config.seed)
    if record.finished and final.exists():
        run.model = keras.models.load_model(final, compile=False)
        return run.model
    batches, used = run.batches(), devices(config.distribute)
    used.check_batches(config.batch_size, run.images_per_epoch)
    with used.building(), _precision(config.mixed_precision):
        model = run.model
        run.compile(model, run.optimizer(len(batches)))
        if config.start_from:
            start_from(model, config.start_from)
        checkpoint = Checkpoint(record.workdir / "checkpoint")
        batches.epoch = checkpoint.restore(model)
    schedule = run.recipe.schedule(run, len(batches))
    with record.running() if used.chief else contextlib.nullcontext():
        if schedule.before is not None and not batches.epoch:
            schedule.before(run.batches())
        history = ActivationHistory(record.workdir / HISTORY, splits.held_out[0][:_HISTORY_IMAGES])
        scalars = [Scalars(record.workdir / "tensorboard")] if keras.backend.backend() == "tensorflow" else []
        keeper = _KeepBest(record, best, schedule)
        saving = [keeper, history, checkpoint, *scalars] if used.chief else []
        with used.fitting():
            model.fit(
                batches,
                initial_epoch=batches.epoch,
                epochs=config.epochs,
                validation_data=splits.held_out,
                validation_batch_size=250,
                callbacks=[*schedule.callbacks, _SetEpoch(batches), RequireFiniteLoss(), *saving, *callbacks],
                shuffle=False,
                verbose=verbose,
            )
        if not used.chief:
            return model
        chosen = read_note(best)
        if config.mixed_precision or config.distribute:  # the result is in float32, on one device
            load_weights(run.rebuild(), best)
        else:
            run.model = keras.models.load_model(best, compile=False)
        if config.reestimate_images:
            reestimate_batch_norm(run.model, run.reestimation_batches())
        save(run.model, final, optimizer=False)
        record.finish(chosen["metrics"] | {"best_epoch": chosen["epoch"]})
        checkpoint.remove()
    return run.model


def start_from(model, run):
    """Sets the weights of what a method trains to those of another run's model; losses and targets are its own.

    New layers that only one of the two has, such as IMTA's collaboration in phase II, are left as they are.

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


class _SetEpoch(keras.callbacks.Callback):
    """Sets the epoch of the batches, which fewer than three of them could not count themselves."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch."""
        self.batches.epoch = epoch


def _precision(mixed):
    """Builds layers that compute in bfloat16 and keep float32 weights, if mixed."""
    return dtype_policy_scope("mixed_bfloat16") if mixed else contextlib.nullcontext()
