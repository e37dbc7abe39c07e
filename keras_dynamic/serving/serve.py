"""Serves images in batches with the compact execution, and compares it with the static network."""

import time
from typing import NamedTuple

import keras
import numpy as np

from keras_dynamic.cost import given
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import Cascade
from keras_dynamic.ops import check_classes, check_images
from keras_dynamic.serving.compact import compact


class Served(NamedTuple):
    """Results of a network for n images, and their time.

    Attributes:
        logits: float32 array, [n, classes].
        stopped: int array [n], index of stopping_places at which each image stopped.
        macs: int64 array, [n].
        predictions_static: int array [n], classes of the static network.
        seconds: of the compact execution, all batches together.
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
    """Returns where images stop: the networks of a cascade, or the exits that a network decides and its 'head'.

    Args:
        model: Cascade, or built DynamicModel that decides something: where to stop, which units to run, or both.

    Raises:
        ValueError: if nothing is decided.
    """
    if isinstance(model, Cascade):
        return [model.networks[0].name, *model.decider.names]
    if not model.decision_names:
        raise ValueError(
            f"what is served is a cascade or a network that decides something, got {model.name!r}, which runs "
            "everything; give DynamicModel(chain, decider), Confidence() for exits."
        )
    return [*_passed(model), "head"]


def _passed(model):
    """Returns the decisions, in order, that are 1 for images that go on."""
    if isinstance(model, Cascade):
        return model.decider.names
    return [name for name in model.chain.exit_names if name in model.decision_names]


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
    """Runs a network on batches of images, each batch also with the static network, and measures the time.

    Both are compiled, once for batches of any size, and run on the first batch before anything is timed.

    Args:
        model: as stopping_places takes it, on TensorFlow.
        batches: iterable of images [any number, height, width, channels], pixel values 0 to 255; read one at a time.

    Returns:
        Served.

    Raises:
        ValueError: if the model decides nothing or has one logit, there are no batches, or one is empty or not finite.
    """
    stopping_places(model)
    check_classes(model.classes, "serve")
    passed = _passed(model)
    run, static = compact(model), _logits(static_network(model), model.image_shape[1:])
    logits: list = []
    stopped, macs, everything = [], [], []
    seconds, seconds_static = 0.0, 0.0
    for batch in batches:
        images = keras.ops.convert_to_tensor(batch, "float32")
        try:
            check_images(images)
        except ValueError as error:
            raise ValueError(f"batch {len(logits)}: {error}") from error
        if not logits:
            run(images), static(images)
        start = time.perf_counter()
        found = run(images)
        logits.append(keras.ops.convert_to_numpy(found.logits))
        middle = time.perf_counter()
        everything.append(keras.ops.convert_to_numpy(static(images)).argmax(-1))
        seconds, seconds_static = seconds + middle - start, seconds_static + time.perf_counter() - middle
        decisions = {name: keras.ops.convert_to_numpy(value) for name, value in found.decisions.items()}
        stopped.append(sum((decisions[name] for name in passed), np.zeros(len(images))).astype(int))  # 1, then 0 and 0
        macs.append(given(model.cost_tree, decisions))
    if not logits:
        raise ValueError("serve takes at least one batch of images, got none.")
    join = np.concatenate
    return Served(join(logits), join(stopped), join(macs), join(everything), seconds, seconds_static)


def _logits(network, shape):
    """Returns a compiled function from images of a shape, any number, to a network's logits."""
    import tensorflow as tf

    signature = (tf.TensorSpec((None, *shape), tf.float32),)
    return tf.function(lambda images: network(images, training=False), input_signature=signature)
