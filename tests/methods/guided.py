"""SGAD by hand and on a problem whose images differ in difficulty, on any backend."""

import keras
import numpy as np

from keras_dynamic.callbacks import GrowNoise
from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.methods import SGAD
from keras_dynamic.models import guideline_network
from tests.methods.learning import chain, compiled


def shades(count, seed=0):
    """Images 8x8 of noise in which one of three channels is brighter, which one, and whether by much or hardly."""
    rng = np.random.default_rng(seed)
    labels, easy = np.arange(count) % 3, np.arange(count) % 2 == 0
    images = rng.integers(0, 200, (count, 8, 8, 3))
    images[np.arange(count), :, :, labels] += np.where(easy, 55, 5)[:, None, None]
    return images.astype(np.uint8), labels, easy


def log_softmax(logits):
    """Returns the logarithm of the softmax of an array [batch, classes]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def losses_by_hand(model, images, labels) -> dict:
    """The parts of equation 12 in NumPy, from what chain, decisions and guideline say in training mode.

    Args:
        model: SGAD without noise, whose guideline is given.
        images: of a batch.
        labels: int [batch].
    """
    array = keras.ops.convert_to_numpy
    outcome = model.outcome(images, training=True)
    guided = log_softmax(array(model.guideline(images, training=True)).astype(np.float64))
    variance = np.exp(guided).var(axis=1)
    expected = 1 - (1 - model.s_max) ** (guided.shape[1] * variance)
    ran = np.stack([array(value) for value in outcome.decisions.values()])
    dropped = (1 - ran).sum(axis=0) / len(model.chain.units)
    right = np.arange(len(labels)), labels
    return {
        "task": -log_softmax(array(outcome.logits).astype(np.float64))[right].mean(),
        "mask": np.abs(expected - dropped).mean(),
        "guideline": -guided[right].mean(),
    }


def learn() -> dict:
    """Trains from scratch under growing noise, and looks at new images."""
    keras.utils.set_random_seed(0)
    images, labels, _ = shades(384)
    decider = BinaryMaskNetwork(grid=2, seed=0)
    model = SGAD(chain(5), decider, guideline_network(3, (8,)), s_max=0.8, mask_weight=2.0)
    history = (
        compiled(model)
        .fit(images, labels, batch_size=64, epochs=16, callbacks=[GrowNoise(np.linspace(0, 1, 8))], verbose=0)
        .history
    )
    test, answers, easy = shades(192, seed=1)
    right = model.predict(test, verbose=0).argmax(axis=-1) == answers
    decisions = model.outcome(test).decisions.values()
    units = 1.0 + sum(keras.ops.convert_to_numpy(value) for value in decisions)
    expected = keras.ops.convert_to_numpy(model.expected_ratio(test)[0])
    return {
        "losses": [float(value) for value in history["loss"]],
        "right_easy": float(right[easy].mean()),
        "units_easy": float(units[easy].mean()),
        "units_hard": float(units[~easy].mean()),
        "expected_easy": float(expected[easy].mean()),
        "expected_hard": float(expected[~easy].mean()),
        "correlation": float(np.corrcoef(expected, units)[0, 1]),
        "noise": float(keras.ops.convert_to_numpy(decider.noise)),
    }
