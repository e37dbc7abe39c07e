"""A small gated model, and a way to run the scripts as a user does."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_dynamic as kd

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16


def small_gated_model():
    """Returns a gated model of two units for 16x16 images, untrained, whose gates are as often open as closed."""
    keras.utils.set_random_seed(0)
    stem = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3, padding="same", activation="relu")]
    units = [
        kd.layers.Residual([keras.layers.Conv2D(8, 3, padding="same")], activation="relu", name=f"unit{k}")
        for k in (1, 2)
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    gates = kd.deciders.PerUnitGates(open_probability=0.5)
    model = kd.layers.DynamicModel(kd.layers.Chain(stem, units, head), gates)
    model.build((None, SIZE, SIZE, 3))
    return model


@pytest.fixture(scope="session")
def images():
    """uint8 [40, 16, 16, 3], of different colours."""
    rng = np.random.default_rng(0)
    return (255 * rng.random((40, 1, 1, 3)) * rng.random((40, SIZE, SIZE, 3))).astype(np.uint8)


@pytest.fixture(scope="session")
def model():
    return small_gated_model()


@pytest.fixture(scope="session")
def stopping(images):
    """A model of the same size with an exit, at which half of the images stop."""
    chain = small_gated_model().chain
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
    chain = kd.layers.Chain(chain.stem, chain.units, chain.head, [kd.layers.Exit(layers, "unit1", name="early")])
    model = kd.layers.DynamicModel(chain, kd.deciders.Confidence())
    model.build((None, SIZE, SIZE, 3))
    certain = kd.ops.max_probability(model.outcome(images).exits["early"])
    model.decider.set_thresholds([float(np.median(certain))])
    return model


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    """The model as a .keras file."""
    path = tmp_path_factory.mktemp("saved") / "gated.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def module():
    """module(name) -> a module beside the scripts, by its path, so that no other of that name is meant."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"tflite_{name}", ROOT / "tflite" / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return load


@pytest.fixture
def run(tmp_path):
    """run(script, *arguments, **environment) -> CompletedProcess, in an empty folder."""

    def start(script, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / "tflite" / script), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return start
