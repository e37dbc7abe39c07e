"""What policies that are trained with REINFORCE share: sampling, and the units that a curriculum holds open."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.layers.frozen import frozen_value
from keras_dynamic.messages import check_fraction
from keras_dynamic.ops import SeedGenerator, bounded

_ALL = 1_000_000  # units: more than any chain has
_LIFT = 3e4  # stands for the infinite logit of a unit that is held open; more than any threshold's log odds


class BernoulliPolicy(ThresholdDecider):
    """Decides by independent Bernoulli variables: sampled in training, compared with tau in inference.

    Samples carry no gradient: such a policy learns from rewards. The number of trailing units that a curriculum has
    opened to it is a non-trainable variable, and so are tau and the number of training steps that it has taken part
    in.

    Args:
        alpha: in training a unit that the policy runs with probability s is run with alpha s + (1 - alpha)(1 - s), so
            that both values are tried; in (0.5, 1].
        always: names of units that always run and are no decision.
        seed: of the samples.
        tau: a unit runs in inference if its probability is greater than tau, in [0, 1]; the paper's 0.5 takes the more
            probable decision.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if alpha is outside (0.5, 1] or tau outside [0, 1], or `always` names a unit that is not there.

    Source: BlockDrop, sections 3.2 and 3.3.
    """

    one_shot = False  # whether all decisions are known before the first unit runs

    def __init__(self, alpha=0.8, always=(), seed=None, tau=0.5, **kwargs):
        super().__init__(always, **kwargs)
        if not 0.5 < alpha <= 1.0:
            raise ValueError(
                f"alpha must be over 0.5 and at most 1, got {alpha!r}; at 0.5 every policy samples alike, the paper "
                "takes 0.8."
            )
        self.alpha, self.seed = float(alpha), seed
        self.seed_generator = SeedGenerator(seed)
        self.tau = self.scalar("tau", check_fraction("tau", tau))
        self.opened = self._counter("opened", _ALL)
        self.steps = self._counter("steps", 0)

    def _counter(self, name, value):
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="int32",
            trainable=False,
            name=name,
            aggregation="only_first_replica",
        )

    def open_last(self, count):
        """Lets the policy decide its last `count` units alone; those before them run.

        Args:
            count: number of units, at least 0; None, or more than there are, for all.

        Raises:
            ValueError: if the count is no such number.
        """
        if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0):
            raise ValueError(
                f"count must be a whole number of units, at least 0, or None for all of them, got {count!r}."
            )
        self.opened.assign(np.int32(_ALL if count is None else min(count, _ALL)))

    @property
    def free(self):
        """float32 tensor [units] of 0/1: which of its units the policy decides now."""
        units = len(self.names)
        return ops.cast(ops.arange(units, dtype="int32") >= units - ops.convert_to_tensor(self.opened), "float32")

    def constant(self, name):
        """Returns True for a unit that is held open as the variables are frozen, else what follows from tau."""
        opened = frozen_value(self.opened)
        held = opened is not None and self.names.index(name) < len(self.names) - opened
        return True if held else super().constant(name)

    def sample(self, probabilities, free):
        """Draws decisions.

        Args:
            probabilities: of running, float tensor [batch, ...].
            free: 0/1 tensor that broadcasts against it: those that are drawn; the others run.

        Returns:
            float32 tensor of 0/1, of the probabilities' shape, without gradient.
        """
        run = ops.logical_or(
            self.draw(ops.shape(probabilities)) < bounded(probabilities, self.alpha), ops.cast(free, "float32") < 0.5
        )
        return ops.stop_gradient(ops.cast(run, "float32"))

    def draw(self, shape):
        """Returns uniform random numbers in [0, 1) of this shape."""
        return keras.random.uniform(shape, seed=self.seed_generator)

    def greedy(self, logits, free):
        """Returns where a probability exceeds tau, a bool tensor of the logits' shape; arguments as in sample."""
        if frozen_value(self.opened) is None:
            logits += (1.0 - ops.cast(free, "float32")) * _LIFT
        return self.over_tau(logits) > 0  # frozen, units that are held open are constant

    def begin(self, image, x, training=None):
        """Counts the training step."""
        if training:
            self.steps.assign(self.steps + 1)
        return ()

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "alpha": self.alpha, "seed": self.seed}
