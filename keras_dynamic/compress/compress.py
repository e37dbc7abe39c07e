"""Prunes, clusters and trains for int8, by tensorflow-model-optimization in a process of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_dynamic.compress.recipe import Recipe
from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation import compiled_outcome
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic, saved_copy
from keras_dynamic.messages import check_fraction, check_number, is_count
from keras_dynamic.models.cascade import Cascade
from keras_dynamic.ops import check_images, right_answers

PYTHON = ".venv-compress/bin/python"
_TWIN = Path(__file__).with_name("twin.py")


def prune(
    model,
    x,
    y=None,
    sparsity=0.5,
    *,
    begin=0.0,
    end=0.75,
    epochs=2,
    batch_size=64,
    learning_rate=0.01,
    seed=0,
    python=PYTHON,
    verbose=1,
):
    """Returns a network of which a share of the weights is zero, by training it while the smallest are removed.

    Every convolution and dense layer but the first loses the share, by tensorflow-model-optimization's polynomial
    schedule, from none at `begin` to all of it at `end`. MACs and the .tflite stay as they are; compressed, the
    file is smaller.

        smaller = kd.compress.prune(model, x, y, sparsity=0.5, epochs=2)

    How a network is trained: each of a cascade's on its own, as it answers alone; a network of gates or a policy under
    the decisions that it makes for each image, which stay as they are; one with exits by the mean of the losses of its
    exits and its head. The loss is the cross entropy, or the squared error of a regression, without regularizers and
    constraints; the optimizer SGD with momentum 0.9, its rate falling to zero as a cosine. Layers that are not
    trainable, deciders and thresholds stay as they are: fit thresholds again afterwards, and evaluate.

    Args:
        model: built DynamicModel, method or cascade of layers that tf_keras has too, see recipe.py; or a functional or
            sequential Keras model, of which a DynamicModel is made. It is unchanged.
        x: training inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        y: labels, see ops.right_answers; numbers of a regression.
        sparsity: share of each layer's weights that is zero in the end, between 0 and 1.
        begin: share of the training after which the schedule begins.
        end: share of the training after which it ends; the rest trains what is left.
        epochs: passes over the inputs.
        batch_size: inputs at a time.
        learning_rate: of the first step.
        seed: of the order of inputs and of dropout.
        python: interpreter of an environment that has tensorflow-model-optimization and tf_keras, which need other
            versions of their dependencies than this library (`make setup-compress`, or the extra `compress`).
        verbose: 1 shows Keras' progress bar, 2 a line for each epoch, 0 nothing.

    Returns:
        Model of the same class with weights of its own, not compiled.

    Raises:
        ValueError: if the model is not built, or has a layer without counterpart in tf_keras or in two places, an
            argument is out of range, or inputs and labels do not fit the model.
        FileNotFoundError: if there is no such interpreter.
        RuntimeError: if its process fails, or the training diverges.
    """
    if not 0 < check_fraction("sparsity", sparsity) < 1:
        raise ValueError(f"sparsity must lie strictly between 0 and 1, got {sparsity!r}; try 0.5.")
    if not check_fraction("begin", begin) < check_fraction("end", end):
        raise ValueError(f"begin must be smaller than end, got {begin!r} and {end!r}; try 0.0 and 0.75.")
    settings = {"sparsity": float(sparsity), "begin": float(begin), "end": float(end)}
    training = _training(epochs, batch_size, learning_rate, seed, verbose)
    return _compressed(model, x, y, {"how": "prune", "settings": settings, **training}, python)


def cluster(
    model,
    x,
    y=None,
    clusters=32,
    *,
    epochs=2,
    batch_size=64,
    learning_rate=0.01,
    seed=0,
    python=PYTHON,
    verbose=1,
):
    """Returns a network whose layers have few distinct weights each, by training it while they share them.

    Every convolution and dense layer but the first gets its clusters by k-means++, and what is trained is their values
    and who belongs to which. The .tflite stays as large; compressed, it is smaller. Training, other arguments,
    result and errors are those of prune.

    Args:
        model: as of prune.
        x: as of prune.
        y: as of prune.
        clusters: most distinct weights of a layer, 2 or more.
        epochs: as of prune.
        batch_size: as of prune.
        learning_rate: as of prune.
        seed: as of prune.
        python: as of prune.
        verbose: as of prune.
    """
    if not is_count(clusters, 2):
        raise ValueError(f"clusters must be an int of 2 or more, got {clusters!r}; try 32.")
    training = _training(epochs, batch_size, learning_rate, seed, verbose)
    return _compressed(model, x, y, {"how": "cluster", "settings": {"clusters": clusters}, **training}, python)


def quantize_aware(
    model,
    x,
    y=None,
    *,
    epochs=2,
    batch_size=64,
    learning_rate=0.001,
    seed=0,
    python=PYTHON,
    verbose=1,
):
    """Returns a network trained while weights and activations are rounded as in int8, to be exported in int8.

    For networks that lose accuracy in lite.export(quantize="int8"), which needs no training; most lose none. The
    rounding is tensorflow-model-optimization's 8-bit scheme for TFLite. Only weights come back: export calibrates the
    ranges of activations as ever. Training, other arguments, result and errors are those of prune.

    Args:
        model: as of prune.
        x: as of prune.
        y: as of prune.
        epochs: as of prune.
        batch_size: as of prune.
        learning_rate: as of prune.
        seed: as of prune.
        python: as of prune.
        verbose: as of prune.
    """
    training = _training(epochs, batch_size, learning_rate, seed, verbose)
    return _compressed(model, x, y, {"how": "quantize_aware", "settings": {}, **training}, python)


def _training(epochs, batch_size, learning_rate, seed, verbose) -> dict:
    """Returns the settings of a training, checked."""
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        if not is_count(value, least):
            raise ValueError(f"{name} must be an int of {least} or more, got {value!r}.")
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}.")
    rate = check_number("learning_rate", learning_rate, positive=True)
    return {"epochs": epochs, "batch_size": batch_size, "learning_rate": rate, "seed": seed, "verbose": int(verbose)}


def _compressed(model, x, y, order, python):
    """Returns a copy of the model, its networks trained as the order says."""
    model = as_dynamic(model)
    if not isinstance(model, DynamicModel) or not model.chain.built:
        raise ValueError(
            f"compression takes a built DynamicModel, or a functional or sequential Keras model, got "
            f"{type(model).__name__} {getattr(model, 'name', model)!r}."
        )
    x, y = as_arrays(x, y)
    check_images(x, model.image_shape)
    if y is None:
        raise ValueError("compression trains the network and needs labels, got none; give y, or a data set with them.")
    logits, loss = (len(x), *model.logits_shape[1:]), model.task
    x, y = np.asarray(x), right_answers(y, logits, model.task)
    if loss == "classes" and model.classes == 1:
        y, loss = y.reshape(logits), "labels"
    for network in _networks(model):
        Recipe(network, _decided(network))  # refuses before anything runs
    if not Path(python).is_file():
        raise FileNotFoundError(f"there is no interpreter {str(python)!r}; {_MAKE}")
    copied = saved_copy(model)
    for network in _networks(copied):
        _train(network, x, y, {**order, "loss": loss}, python)
    return copied


_MAKE = (
    "compression needs an environment of its own, with tensorflow-model-optimization and tf_keras: `make "
    "setup-compress`, or `python3 -m venv .venv-compress && .venv-compress/bin/pip install "
    "tensorflow-model-optimization tf_keras`, and give its interpreter as python=..."
)


def _networks(model) -> list:
    """Returns the networks that are trained one by one: the model, or those of a cascade."""
    if not isinstance(model, Cascade):
        return [model]
    return [inner for network in model.networks for inner in _networks(network)]


def _decided(network) -> list[str]:
    """Returns the names of the units that a network's decisions run or skip."""
    if not isinstance(network, DynamicModel):
        return []
    names = dict.fromkeys(network.decision_names)
    controlled = network.decider.decisions_by_target(network.chain, names)
    return [unit.name for unit in network.chain.units if unit.name in controlled]


def _decisions(network, x, decided, batch_size=250) -> np.ndarray:
    """Returns what the network decides on its units for each image, as if none stopped before: [n, units]."""
    if not decided:
        return np.zeros((len(x), 0), np.float32)
    rows, outcome = [], compiled_outcome(network)
    for start in range(0, len(x), batch_size):
        batch = keras.ops.convert_to_tensor(x[start : start + batch_size])
        of_unit = network.decider.decisions_by_target(network.chain, outcome(batch, None).conditional)
        rows.append(np.stack([keras.ops.convert_to_numpy(of_unit[name]) for name in decided], axis=1))
    return np.concatenate(rows)


def _train(network, x, y, order, python) -> None:
    """Trains a network's twin in a process of its own, and gives the network its weights."""
    decided = _decided(network)
    recipe = Recipe(network, decided)
    rows = {"rows": recipe.rows, "outputs": recipe.outputs, "weighted": list(recipe.layers), "decisions": len(decided)}
    if order["verbose"]:
        print(f"{network.name}: {order['how']}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "order.json").write_text(json.dumps({**order, **rows}), encoding="utf-8")
        np.savez(folder / "weights.npz", **recipe.arrays())
        for key, array in (("x", x), ("y", y), ("decisions", _decisions(network, x, decided))):
            np.save(folder / f"{key}.npy", array, allow_pickle=False)
        _run(python, folder, order)
        with np.load(folder / "trained.npz", allow_pickle=False) as trained:
            arrays = dict(trained)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise RuntimeError(
            f"the training of {network.name!r} diverged: weights are not finite; take a smaller learning_rate than "
            f"{order['learning_rate']:g}."
        )
    recipe.take(arrays)


def _run(python, folder, order) -> None:
    """Runs twin.py on a folder, its progress bar shown; raises a RuntimeError if it fails."""
    shown = None if order["verbose"] else subprocess.DEVNULL
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "TF_USE_LEGACY_KERAS": "1"}
    command = [str(python), "-I", str(_TWIN), str(folder)]  # -I: without this process' packages
    done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode == 0:
        return
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit {done.returncode}")
    if last.startswith("ModuleNotFoundError"):
        raise RuntimeError(f"{str(python)!r} lacks packages ({last}); {_MAKE}")
    raise RuntimeError(f"{order['how']} failed in the process of {str(python)!r}: {last.strip()}")
