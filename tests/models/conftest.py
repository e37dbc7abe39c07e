"""Small classifiers of 8x8 RGB images in three classes, for cascades."""

import keras
import numpy as np
import pytest
from keras import layers


@pytest.fixture
def classifier():
    """Function (width, name, end=(), classes=3, size=8, seed=width) -> sequential classifier.

    MACs: 27 * width * size^2 + width * classes.
    """

    def make(width, name, end=(), classes=3, size=8, seed=None):
        keras.utils.set_random_seed(width if seed is None else seed)
        body = [layers.Rescaling(1 / 127.5, -1), layers.Conv2D(width, 3, padding="same", activation="relu")]
        answer = [layers.GlobalAveragePooling2D(), layers.Dense(classes, kernel_initializer="normal")]
        network = keras.Sequential([keras.Input((size, size, 3)), *body, *answer, *end], name=name)
        network.layers[3].kernel.assign(20 * network.layers[3].kernel)  # confidences that spread
        return network

    return make


@pytest.fixture
def labelled():
    """Function (count, seed=0) -> (uint8 images [count, 8, 8, 3], labels [count])."""

    def make(count, seed=0):
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8), rng.integers(0, 3, count)

    return make
