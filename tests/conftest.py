"""What tests of several packages share: gradients on any backend, a toy network, a process that loads models."""

import gc
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

# Models are many small objects that live for long: Python looks for garbage among them far too often.
gc.set_threshold(100_000, 50, 100)

# Reads lines of JSON with model, images and answer (paths), and answers each with one line, the model's name.
_LOADER = """
import json, sys
import keras, numpy as np
import keras_dynamic
for line in sys.stdin:
    order = json.loads(line)
    model = keras.models.load_model(order["model"])
    outcome = model.outcome(np.load(order["images"]), training=order["training"])
    arrays = {f"decisions {name}": value for name, value in outcome.decisions.items()}
    arrays |= {f"exits {name}": value for name, value in outcome.exits.items()}
    arrays |= {"logits": outcome.logits, "cost": outcome.cost}
    np.savez(order["answer"], **{name: keras.ops.convert_to_numpy(value) for name, value in arrays.items()})
    print(model.name, flush=True)
"""


@pytest.fixture(scope="session")
def fresh_process(tmp_path_factory):
    """Function (model, images, training=False) -> {name: array}: the outcome in a process that loads the model."""
    folder = tmp_path_factory.mktemp("fresh_process")
    child = subprocess.Popen(
        [sys.executable, "-c", _LOADER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def answer(model, images, training=False):
        paths = {key: str(folder / f"file{ending}") for key, ending in _ENDINGS.items()}
        model.save(paths["model"])
        np.save(paths["images"], images)
        child.stdin.write(json.dumps({**paths, "training": training}) + "\n")
        child.stdin.flush()
        if not child.stdout.readline():
            raise AssertionError(child.communicate()[1])
        with np.load(paths["answer"]) as arrays:
            return dict(arrays)

    yield answer
    child.kill()
    child.communicate()


_ENDINGS = {"model": ".keras", "images": ".npy", "answer": ".npz"}


@pytest.fixture
def gradient():
    """Function (function, x) -> gradient of the sum of function(x) as an array, on the backend in use."""

    def of(function, x):
        x = keras.ops.convert_to_tensor(x)
        if keras.backend.backend() == "jax":
            import jax

            return np.asarray(jax.grad(lambda value: keras.ops.sum(function(value)))(x))
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            result = keras.ops.sum(function(x))
        return tape.gradient(result, x).numpy()

    return of


@pytest.fixture
def toy_chain():
    """Function (units=3, width=4, classes=3, exits=(), seed=0) -> Chain for 8x8 RGB images, with lively weights.

    MACs: stem 64 * 27 * width, unit 2 * 64 * 9 * width * width, head width * classes.
    """
    from keras_dynamic.layers import Chain, NormalizePixels, Residual

    layers = keras.layers

    def make(units=3, width=4, classes=3, exits=(), seed=0, mask="product"):
        keras.utils.set_random_seed(seed)

        def convolution():
            return [layers.Conv2D(width, 3, padding="same", use_bias=False), _lively_norm()]

        stem = [NormalizePixels((0.5,) * 3, (0.25,) * 3), *convolution(), layers.ReLU()]
        bodies = [[*convolution(), layers.ReLU(), *convolution()] for _ in range(units)]
        chained = [Residual(body, None, "relu", mask, name=f"unit{k + 1}") for k, body in enumerate(bodies)]
        return Chain(stem, chained, [layers.GlobalAveragePooling2D(), layers.Dense(classes)], exits)

    return make


def _lively_norm():
    """A batch norm whose statistics and scales are not those of a new one."""
    uniform = keras.initializers.RandomUniform
    return keras.layers.BatchNormalization(
        momentum=0.9,
        beta_initializer=uniform(-0.3, 0.3),
        gamma_initializer=uniform(0.7, 1.3),
        moving_mean_initializer=uniform(-0.3, 0.3),
        moving_variance_initializer=uniform(0.7, 1.3),
    )


@pytest.fixture
def toy_images():
    """Function (count, seed=0) -> uint8 images [count, 8, 8, 3]."""

    def make(count=6, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)

    return make


@pytest.fixture
def spread_gates():
    """Function (model, images): sets each gate so that it opens for half of these images, by what it sees in them."""

    def spread(model, images, seed=0):
        rng = np.random.default_rng(seed)
        for name, gate in model.decider.gates.items():
            gate.kernel.assign(rng.normal(0, 0.3, gate.kernel.shape))
            gate.bias.assign([0.0, 0.0])
            chances = keras.ops.convert_to_numpy(model.outcome(images).probabilities[name]).astype(np.float64)
            gate.bias.assign([0.0, -np.median(np.log(chances / (1 - chances)))])

    return spread


@pytest.fixture
def spread_exits():
    """Function (model, images): shifts the logits of each exit, a dense layer, so that its answers to these differ."""

    def spread(model, images):
        for exit_ in model.chain.exits:
            last = exit_.head.layers[-1]
            logits = keras.ops.convert_to_numpy(model.outcome(images).exits[exit_.name])
            last.kernel.assign(last.kernel / logits.std(axis=0))
            last.bias.assign(-(logits / logits.std(axis=0)).mean(axis=0))

    return spread
