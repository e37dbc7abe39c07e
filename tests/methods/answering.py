"""Losses on answers under every compiled loss, on any backend; as a script it prints them and those by hand."""

import json
import sys

import keras
import numpy as np
from keras import layers

from keras_dynamic.deciders import ExitGates
from keras_dynamic.layers import Chain, Exit, Residual
from keras_dynamic.methods import IMTA, LearnedExits

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 1, (12, 8, 8, 3)).astype("float32")
WEIGHTS = RNG.uniform(0, 3, 12).astype("float32")
CLASSES = np.arange(12) % 3
SOFT = RNG.dirichlet(np.ones(3), 12).astype("float32")
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
BINARY = (np.arange(12) % 2).astype("float32")[:, None]
REAL = RNG.normal(size=(12, 1)).astype("float32")
LOSSES = keras.losses
TASKS = {  # labels, outputs, compiled loss
    "sparse": (CLASSES, 3, LOSSES.SparseCategoricalCrossentropy(from_logits=True)),
    "soft": (SOFT, 3, LOSSES.CategoricalCrossentropy(from_logits=True)),
    "smoothed": (ONE_HOT, 3, LOSSES.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)),
    "focal": (ONE_HOT, 3, LOSSES.CategoricalFocalCrossentropy(from_logits=True)),
    "summed": (CLASSES, 3, LOSSES.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")),
    "multi-label": (ONE_HOT, 3, LOSSES.BinaryCrossentropy(from_logits=True)),
    "binary": (BINARY, 1, LOSSES.BinaryCrossentropy(from_logits=True)),
    "squared": (REAL, 1, LOSSES.MeanSquaredError()),
}


def network(outputs=3, exits=True):
    """Two units, and an exit after the first; no batch norm, so that training and inference answer alike."""

    def head():
        return [layers.GlobalAveragePooling2D(), layers.Dense(outputs)]

    units = [Residual([layers.Conv2D(4, 3, padding="same")], name=name) for name in "ab"]
    return Chain(
        [layers.Conv2D(4, 3, padding="same")], units, head(), [Exit(head(), after="a", name="early")] if exits else []
    )


def step(method, task, weights=None) -> tuple[float, float]:
    """Returns the loss of a step at rate 0, and that which the compiled loss gives the answers by hand.

    Args:
        method: 'imta', whose exits weigh 2 and 0.5, or 'learned', whose gate lets all images go on.
        task: of TASKS.
        weights: sample weights, or None.
    """
    labels, outputs, loss = TASKS[task]
    keras.utils.set_random_seed(0)
    if method == "imta":
        model = IMTA(network(outputs), exit_weights=[2.0, 0.5])
    else:
        gates = ExitGates((4,), open_probability=1 - 1e-6, seed=0)
        model = LearnedExits(network(outputs), gates, target=0.0, exit_weights=[2.0], task_weight=0.5)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=keras.backend.backend() == "tensorflow")  # in seconds
    found = model.train_on_batch(IMAGES, labels, sample_weight=weights, return_dict=True)["loss"]
    outcome = model.outcome(IMAGES)
    answers = (outcome.exits["early"], outcome.logits)
    by_hand = sum(w * float(loss(labels, each, weights)) for w, each in zip((2.0, 0.5), answers, strict=True))
    return float(found), by_hand


def steps() -> dict:
    """Returns {'method task': [loss, loss by hand]} for some of them, under sample weights."""
    tasks = ("soft", "binary")
    return {f"{method} {task}": step(method, task, WEIGHTS) for method in ("imta", "learned") for task in tasks}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"backend": keras.backend.backend(), **steps()}) + "\n")
