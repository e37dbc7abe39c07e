"""Serving images in batches with the compact reading, beside the network that runs everything."""

import time
from typing import NamedTuple

import keras
import numpy as np

from keras_dynamic.cost import given
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import Cascade
from keras_dynamic.training.compact import compact


class Served(NamedTuple):
    """What a network gave for n images, and in what time.

    Attributes:
        logits: float32 array, [n, classes].
        stopped: int array [n], index of stopping_places at which each image stopped.
        macs: int64 array, [n].
        predictions_static: int array [n], the classes that the static network gives.
        seconds: of the compact reading, all batches together.
        seconds_static: of the static network.
    """

    logits: np.ndarray
    stopped: np.ndarray
    macs: np.ndarray
    predictions_static: np.ndarray
    seconds: float
    seconds_static: float

    @property
    def predictions(self) -> np.ndarray:
        """Classes, int array [n]."""
        return self.logits.argmax(-1)


def stopping_places(model) -> list[str]:
    """Returns where images stop: the networks of a cascade, or the exits of a network and 'end'.

    Args:
        model: Cascade, or built DynamicModel whose exits a Confidence decides.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(model, Cascade):
        return [model.networks[0].name, *model.decider.names]
    names = model.chain.exit_names
    if not names or not isinstance(model.decider, Confidence):
        raise ValueError(
            "images stop in a cascade, or in a network whose exits a Confidence decider decides, got "
            f"{model.name!r}, which is neither; give DynamicModel(chain with exits, Confidence())."
        )
    return [*names, "end"]


def static_network(model):
    """Returns the network that runs everything: the last one of a cascade, alone, or the chain to its end.

    Args:
        model: as stopping_places takes it.
    """
    network = model.networks[-1] if isinstance(model, Cascade) else model
    if not isinstance(network, DynamicModel):
        return network
    static = DynamicModel(network.chain, name=network.name)
    static.build(network.image_shape)
    return static


def serve(model, batches) -> Served:
    """Runs a network on batches of images, each in turn with the static network.

    Both are compiled, once for batches of any size, and run on the first batch before anything is timed.

    Args:
        model: as stopping_places takes it, on TensorFlow.
        batches: iterable of images [any number, height, width, channels], pixel values 0 to 255; read one at a time.

    Returns:
        Served.

    Raises:
        ValueError: if images do not stop in the model, or there are no batches.
    """
    stopping_places(model)
    run, static = compact(model), _logits(static_network(model))
    logits: list = []
    stopped, macs, everything = [], [], []
    seconds, seconds_static = 0.0, 0.0
    for batch in batches:
        images = keras.ops.convert_to_tensor(batch, "float32")
        if not logits:
            run(images), static(images)
        start = time.perf_counter()
        found = run(images)
        logits.append(keras.ops.convert_to_numpy(found.logits))
        middle = time.perf_counter()
        everything.append(keras.ops.convert_to_numpy(static(images)).argmax(-1))
        seconds, seconds_static = seconds + middle - start, seconds_static + time.perf_counter() - middle
        decisions = {name: keras.ops.convert_to_numpy(value) for name, value in found.decisions.items()}
        stopped.append(sum(decisions[name] for name in model.decider.names).astype(int))  # 1 goes on, then 0 and 0
        macs.append(given(model.cost_tree, decisions))
    if not logits:
        raise ValueError("serve takes at least one batch of images, got none.")
    join = np.concatenate
    return Served(join(logits), join(stopped), join(macs), join(everything), seconds, seconds_static)


def _logits(network):
    """Returns a compiled function from images to a network's logits alone."""
    import tensorflow as tf

    return tf.function(lambda images: network(images, training=False), reduce_retracing=True)
