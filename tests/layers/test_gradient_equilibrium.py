"""Gradient equilibrium against the plain gradients of each exit's loss, block by block and at every scale."""

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.layers import Always, Chain, DynamicModel, Exit, gradient_equilibrium, masked


class TwoScales(layers.Layer):
    """{fine, coarse} -> {fine, coarse}; the coarse one reads the fine one too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fine = layers.Dense(4, "tanh")
        self.coarse = layers.Dense(3, "tanh")

    def call(self, x):
        return {"fine": self.fine(x["fine"]), "coarse": self.coarse(ops.concatenate([x["fine"], x["coarse"]], -1))}


class Split(layers.Layer):
    """[batch, 8] -> {fine [batch, 5], coarse [batch, 3]}."""

    def call(self, x):
        return {"fine": x[:, :5], "coarse": x[:, 5:]}


class Head(layers.Layer):
    """Reads both scales."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(ops.concatenate([x["fine"], x["coarse"]], -1))


def gradients(model, x, read, exit_):
    """{variable path: gradient} of the sum of one exit's logits."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outcome = model.chain(x, model.decider, executor=read)
        answers = [*outcome.exits.values(), outcome.logits]
        loss = ops.sum(ops.square(answers[exit_]))
    variables = [variable for unit in model.chain.units for variable in unit.trainable_variables]
    return dict(zip([v.path for v in variables], tape.gradient(loss, [v.value for v in variables]), strict=True))


def test_the_gradient_of_each_exit_reaches_each_block_in_equal_parts(monkeypatch):
    keras.utils.set_random_seed(0)
    units = [TwoScales(name=f"block{k}") for k in (1, 2, 3)]
    exits = [Exit(Head(), f"block{k}", name=f"exit{k}") for k in (1, 2)]
    chain = Chain(Split(), units, Head(), exits)
    decider = Always()
    x = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    monkeypatch.setattr(Chain, "cost_node", lambda self, decider: _no_cost())
    model = DynamicModel(chain, decider)
    model.build((None, 8))
    count = 3
    for j in range(1, count + 1):
        plain, scaled = (gradients(model, x, read, j - 1) for read in (masked, gradient_equilibrium))
        reached = 0
        for path, gradient in plain.items():
            block = int(path.split("block")[1][0])
            if gradient is None:
                assert scaled[path] is None  # an exit does not reach later blocks
                continue
            wanted = np.asarray(gradient) / (count - block + 1)
            np.testing.assert_allclose(scaled[path], wanted, rtol=1e-5, atol=1e-7)
            reached += bool(np.abs(wanted).max())
        assert reached >= 4 * j  # kernels and biases of both scales of every block before it


def test_values_stay_as_they_are(toy_chain, toy_images):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")]
    model = DynamicModel(toy_chain(units=2, exits=exits))
    plain, scaled = (model.outcome(toy_images(4), executor=read) for read in (masked, gradient_equilibrium))
    np.testing.assert_array_equal(scaled.logits, plain.logits)
    np.testing.assert_array_equal(scaled.exits["early"], plain.exits["early"])


def _no_cost():
    from keras_dynamic.cost import Node

    return Node("chain")
