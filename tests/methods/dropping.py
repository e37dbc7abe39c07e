"""Problems for BlockDrop with known answers, on any backend; as a script it prints or writes what came out."""

import json
import sys

import keras
import numpy as np
from keras import layers

from keras_dynamic.callbacks import Curriculum
from keras_dynamic.deciders import Policy
from keras_dynamic.layers import Chain, Residual
from keras_dynamic.methods import BlockDrop
from tests.methods.learning import colours

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _constant(value):
    return keras.initializers.Constant(value)


def lopsided_chain():
    """A network that answers classes 1 and 2 without any unit, class 0 with unit1 alone; unit2 does nothing.

    The head sees the mean of each channel, about 0.4 and 0.2 more for the label's, minus 1 for class 0; unit1 gives
    that back.
    """
    back = layers.Conv2D(3, 1, kernel_initializer="zeros", bias_initializer=_constant([1.0, 0.0, 0.0]))
    nothing = layers.Conv2D(3, 1, kernel_initializer="zeros")
    identity = layers.Dense(
        3, kernel_initializer=_constant(np.eye(3).tolist()), bias_initializer=_constant([-1.0, 0.0, 0.0])
    )
    units = [Residual(back, None, "relu", name="unit1"), Residual(nothing, None, "relu", name="unit2")]
    return Chain(layers.Rescaling(1 / 255), units, [layers.GlobalAveragePooling2D(), identity])


def policy_network(units):
    """A small network that sees each channel's mean."""
    return keras.Sequential(
        [
            layers.Rescaling(1 / 10, -11.8),
            layers.GlobalAveragePooling2D(),
            layers.Dense(units, kernel_initializer="zeros"),
        ]
    )


def learn() -> dict:
    """Trains a policy on the lopsided network, through a curriculum."""
    keras.utils.set_random_seed(0)
    images, labels = colours(384)
    model = BlockDrop(lopsided_chain(), Policy(policy_network(2), alpha=0.8, seed=0), gamma=2.0)
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    model.build((None, 8, 8, 3))
    before = [keras.ops.convert_to_numpy(each) for each in model.chain.weights]
    history = model.fit(images, labels, batch_size=64, epochs=40, callbacks=[Curriculum(steps=24)], verbose=0).history
    after = [keras.ops.convert_to_numpy(each) for each in model.chain.weights]
    test, answers = colours(192, seed=1)
    evaluated = model.evaluate(test, answers, return_dict=True, verbose=0)
    runs = {name: keras.ops.convert_to_numpy(d) for name, d in model.outcome(test).decisions.items()}
    return {
        "backend": keras.backend.backend(),
        "rewards": [float(value) for value in history["reward"]],
        "rates": [float(value) for value in history["activation_rate"]],
        "evaluated": {name: float(value) for name, value in evaluated.items()},
        "needed": float(np.mean(runs["unit1"][answers == 0])),
        "needless": float(np.mean(runs["unit1"][answers != 0])),
        "useless": float(np.mean(runs["unit2"])),
        "chain_moved": float(max([np.abs(a - b).max() for a, b in zip(after, before, strict=True)], default=0.0)),
        "steps": int(keras.ops.convert_to_numpy(model.decider.steps)),
    }


class GivenDraws(Policy):
    """A policy whose draws are given, so that two backends sample the same decisions."""

    def draw(self, shape):
        """Returns fixed numbers in [0, 1)."""
        return keras.ops.convert_to_tensor(np.random.default_rng(5).random((16, 3)), "float32")


def one_step(chain, stage, values=None):
    """Runs one step of SGD at rate 1 and returns the weights before and after, as lists of arrays.

    Args:
        chain: of three units for 8x8 images.
        stage: of BlockDrop.
        values: weights to start from.
    """
    model = BlockDrop(
        chain,
        GivenDraws(policy_network(3)),
        stage,
        gamma=3.0,
        policy_weight=0.7,
        entropy_weight=0.05,
        weight_decay=0.01,
    )
    model.build((None, 8, 8, 3))
    model.decider.steps.assign(1)  # a policy that has been trained before
    if values is not None:
        model.set_weights(values)
    before = model.get_weights()
    images, labels = colours(16)
    model.compile(keras.optimizers.SGD(1.0), LOSS)
    model.fit(images, labels, batch_size=16, epochs=1, shuffle=False, verbose=0)
    return before, model.get_weights()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(learn()) + "\n")
