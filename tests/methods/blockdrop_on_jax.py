"""One step of BlockDrop from given weights, for the comparison of backends; runs in a process on JAX."""

import sys

import numpy as np
from keras import layers

from keras_dynamic.layers import Chain, NormalizePixels, Residual
from tests.methods.dropping import one_step


def chain():
    """The toy chain of conftest.py, whose weights come from a file."""

    def convolution():
        return [layers.Conv2D(4, 3, padding="same", use_bias=False), layers.BatchNormalization(momentum=0.9)]

    stem = [NormalizePixels((0.5,) * 3, (0.25,) * 3), *convolution(), layers.ReLU()]
    units = [
        Residual([*convolution(), layers.ReLU(), *convolution()], None, "relu", name=f"unit{k + 1}") for k in range(3)
    ]
    return Chain(stem, units, [layers.GlobalAveragePooling2D(), layers.Dense(3)])


if __name__ == "__main__":
    stage, start, end = sys.argv[1:]
    with np.load(start) as file:
        given = [file[name] for name in file.files]
    np.savez(end, *one_step(chain(), stage, given)[1])
