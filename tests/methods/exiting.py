"""A toy problem on which gates of exits learn in seconds, on any backend; as a script it prints what came out."""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import ExitGates
from keras_dynamic.layers import Exit
from keras_dynamic.methods import LearnedExits
from tests.methods.learning import chain, colours, compiled


def with_exit():
    """The toy chain of two units with an exit behind the first."""
    return chain(exits=[Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")])


def learner(**arguments):
    """LearnedExits on that chain with small gates."""
    return compiled(LearnedExits(with_exit(), ExitGates((4,), seed=0), **arguments))


def learn(folder) -> dict:
    """Trains a gate so that half of the images stop, from hardly any, and saves and loads it."""
    keras.utils.set_random_seed(0)
    model = learner(target=0.5, rate_weight=8.0)
    images, labels = colours(384)
    calm = [AnnealTarget(a=0.125, k=1)]
    history = model.fit(images, labels, batch_size=64, epochs=12, callbacks=calm, verbose=0).history
    test, answers = colours(192, seed=1)
    outcome = model.outcome(test, training=False)
    path = str(Path(folder) / "exits.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    return {
        "backend": keras.backend.backend(),
        "losses": history["loss"],
        "going": history["activation_rate"],
        "target": float(keras.ops.convert_to_numpy(model.going_target)),
        "accuracy": float(np.mean(keras.ops.convert_to_numpy(outcome.logits).argmax(-1) == answers)),
        "loaded_difference": float(np.abs(loaded.predict(test, verbose=0) - model.predict(test, verbose=0)).max()),
        "loaded_target": float(keras.ops.convert_to_numpy(loaded.going_target)),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made_folder:
        sys.stdout.write(json.dumps(learn(made_folder)) + "\n")
