"""Small models, a folder of images in classes, and a way to run the scripts as a user does."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from absl import flags
from PIL import Image

import keras_dynamic as kd

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16
NAMES = ("ant", "bee", "cow", "dog")


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


def plain_model(width=4, classes=4, rescale=True):
    """Returns an untrained functional Keras model that ends in a softmax, or in a sigmoid for one class."""
    keras.utils.set_random_seed(width)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(image) if rescale else image
    x = keras.layers.Conv2D(width, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(width, 3)(x))
    x = keras.layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid")(keras.layers.Flatten()(x))
    return keras.Model(image, x, name=f"plain{width}")


@pytest.fixture
def in_classes(images, tmp_path):
    """Folder of the images as PNG files, ten for each of four classes: image k is of class k % 4."""
    for number, image in enumerate(images):
        path = tmp_path / "in_classes" / NAMES[number % 4] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "in_classes"


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

    @functools.cache  # a module defines its flags once
    def load(name):
        others = {flag: flags.FLAGS[flag] for flag in flags.FLAGS if not flags.FLAGS[flag].short_name}
        for flag in others:
            delattr(flags.FLAGS, flag)
        spec = importlib.util.spec_from_file_location(f"tflite_{name}", ROOT / "tflite" / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        for flag, other in others.items():  # those of train_main.py and of other scripts may have the same names
            if flag in flags.FLAGS:
                delattr(flags.FLAGS, flag)
            flags.FLAGS[flag] = other
        return found

    return load


# Imports what the scripts import, once, then runs each script that a line of JSON names in a fork of its own.
_FORKER = """
import json, os, runpy, sys, traceback
import keras, keras_dynamic
if keras.backend.backend() == "tensorflow":
    import tensorflow
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(order["folder"])
        for stream, path in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = order["command"]
        sys.path[0] = os.path.dirname(sys.argv[0])
        code = 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def forkers():
    """forkers(environment, as items) -> process that runs scripts in forks of its own: imports are paid once."""
    started = []

    @functools.cache
    def start(environment):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", _FORKER],
                env={**os.environ, **dict(environment)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(tmp_path, tmp_path_factory, forkers):
    """run(script, *arguments, **environment) -> CompletedProcess, in an empty folder."""
    said = tmp_path_factory.mktemp("said")

    def start(script, *arguments, **environment):
        forker = forkers(tuple(sorted(environment.items())))
        order = {"command": [str(ROOT / "tflite" / script), *map(str, arguments)], "folder": str(tmp_path)}
        streams = {name: str(said / name) for name in ("stdout", "stderr")}
        forker.stdin.write(json.dumps({**order, **streams}) + "\n")
        forker.stdin.flush()
        code = int(forker.stdout.readline())
        return subprocess.CompletedProcess(
            order["command"], code, *(Path(path).read_text() for path in streams.values())
        )

    return start
