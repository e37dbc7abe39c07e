"""A toy problem on which gates learn in seconds, on any backend; as a script it prints what came out, as JSON."""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_dynamic.callbacks import AnnealTarget, reestimate_batch_norm
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.methods import ActivationGating


def colours(count, seed=0):
    """Images 8x8 of noise in which one of three channels is brighter, and which one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 200, (count, 8, 8, 3))
    images[np.arange(count), :, :, labels] += 55
    return images.astype(np.uint8), labels


def chain(units=2, width=4, exits=()):
    """A network of residual units that is more than the problem needs."""

    def convolution():
        return [layers.Conv2D(width, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=0.8)]

    chained = [
        Residual([*convolution(), layers.ReLU(), *convolution()], None, "relu", name=f"unit{k + 1}")
        for k in range(units)
    ]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return Chain([layers.Rescaling(1 / 127.5, -1), *convolution(), layers.ReLU()], chained, head, exits)


def compiled(model, rate=0.02):
    """Compiles a model for the problem."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def learn(folder) -> dict:
    """Trains gates to run half of the units, and looks at everything that a user would do next."""
    keras.utils.set_random_seed(0)
    images, labels = colours(384)
    teacher = compiled(DynamicModel(chain()))
    teacher.fit(images, labels, batch_size=64, epochs=3, verbose=0)
    gates = PerUnitGates(open_probability=0.9, seed=0)
    model = ActivationGating(
        chain(),
        gates,
        target=0.5,
        activation_loss="per_gate",
        activation_weight=6.0,
        teacher=teacher,
        weight_decay=1e-4,
    )
    history = (
        compiled(model)
        .fit(images, labels, batch_size=64, epochs=16, callbacks=[AnnealTarget(a=0.125, k=1)], verbose=0)
        .history
    )
    reestimate_batch_norm(model, [images[:128], images[128:256]])
    test, answers = colours(192, seed=1)
    evaluated = model.evaluate(test, answers, return_dict=True, verbose=0)
    predicted = model.predict(test, verbose=0)
    outcome = model.outcome(test)
    path = str(Path(folder) / "gated.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    model.decider.set_tau(1.0)
    closed = model.evaluate(test, answers, return_dict=True, verbose=0)
    closed_training = model.fit(test, answers, batch_size=64, verbose=0).history
    return {
        "backend": keras.backend.backend(),
        "rates": [float(value) for value in history["activation_rate"]],
        "macs": [1e6 * float(value) for value in history["macs_millions"]],
        "losses": [float(value) for value in history["loss"]],
        "chances": [float(np.mean(value)) for value in outcome.probabilities.values()],
        "total": model.cost_tree.total_macs,
        "target": float(keras.ops.convert_to_numpy(model.current_target)),
        "accuracy": float(evaluated["accuracy"]),
        "predicted_accuracy": float(np.mean(predicted.argmax(-1) == answers)),
        "loaded_difference": float(np.abs(loaded.predict(test, verbose=0) - predicted).max()),
        "closed_rates": [float(closed["activation_rate"]), *map(float, closed_training["activation_rate"])],
        "teacher_accuracy": float(teacher.evaluate(test, answers, return_dict=True, verbose=0)["accuracy"]),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.stdout.write(json.dumps(learn(made)) + "\n")
