"""A policy that decides one unit after the other, each from its input."""

import math

import keras
from keras import layers, ops

from keras_dynamic.cost import tree
from keras_dynamic.deciders.bernoulli_policy import BernoulliPolicy
from keras_dynamic.messages import check_open_probability


@keras.saving.register_keras_serializable("keras_dynamic")
class SequentialPolicy(BernoulliPolicy):
    """BlockDrop-seq: a linear score of each unit's pooled input, softmax over drop and keep.

    The softmax over two scores is the sigmoid of their difference, so one score is kept. Later decisions see what
    earlier ones did, at the price of a decision between every two units.

    Args:
        open_probability: of an untrained score, in (0, 1).
        alpha: bound of the sampled probabilities, in (0.5, 1].
        always: names of units that always run.
        seed: of the samples.
        tau: threshold on probabilities in inference, in [0, 1].
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if alpha or open_probability is out of range, or `always` names a unit that is not there.

    Source: BlockDrop, supplement, "Details of BlockDrop-seq".
    """

    def __init__(self, open_probability=0.5, alpha=0.8, always=(), seed=None, tau=0.5, **kwargs):
        super().__init__(alpha, always, seed, tau, **kwargs)
        self.open_probability = check_open_probability(open_probability)
        self.scores = {}

    def prepare(self, chain):
        """Makes a score per unit and builds it for the unit's input."""
        odds = keras.initializers.Constant(math.log(self.open_probability / (1.0 - self.open_probability)))
        for name, spec in zip(self.unit_names, chain.input_specs, strict=True):
            if name in self.names:
                pool = layers.GlobalAveragePooling2D(dtype="float32")
                dense = layers.Dense(1, bias_initializer=odds, dtype="float32", name="score")
                score = keras.Sequential([pool, dense], name=f"{name}_policy")
                leaf = keras.tree.flatten(spec)[0]
                score.build(leaf.shape)
                self.scores[name] = score
                self._binding.nodes[name] = tree(score, leaf)

    def decide(self, k, x, carry, training=None):
        """Samples in training, takes the more probable value otherwise."""
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        leaf = ops.stop_gradient(keras.tree.flatten(x)[0])  # the chain learns from its answers, not from rewards
        logits = self.scores[name](leaf, training=training)[:, 0]
        free = self.free[self.names.index(name)]
        probabilities = ops.sigmoid(logits)
        decision = self.sample(probabilities, free) if training else self.greedy(logits, free)
        return {name: decision}, {name: probabilities}, carry

    def unit_nodes(self, k):
        """Returns the score's cost."""
        name = self.unit_names[k]
        return [self._binding.nodes[name]] if name in self._binding.nodes and self.constant(name) is None else []

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "open_probability": self.open_probability}
