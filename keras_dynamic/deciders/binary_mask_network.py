"""A small network that decides all units at once, from the stem's output."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.cost import Node, tree
from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.messages import check_fraction, check_number, check_open_probability, is_count
from keras_dynamic.ops import SeedGenerator, round_straight_through, scale_gradient


@keras.saving.register_keras_serializable("keras_dynamic")
class BinaryMaskNetwork(ThresholdDecider):
    """BMNet: one look at the stem's output decides every unit but the last.

    In training Gaussian noise is added before the sigmoid and the result is rounded, straight through. As the noise
    grows the network learns to be sure, so that small changes of its input no longer turn decisions. The noise's
    standard deviation is a non-trainable variable, which callbacks.GrowNoise raises.

    The paper gives BMNet's cost and not its layers. These are: average pooling to grid x grid, a 3x3 convolution with
    batch norm and ReLU, a dense layer with ReLU, and one with a logit per unit. On ResNet-32 that is 0.05 % of the MACs
    and 1.3 % of the parameters (the paper: 0.06 % and 1.61 %), on ResNet-110 0.01 % and 0.4 % (0.02 %, 1.59 %).

    Args:
        grid: side of what the stem's output is pooled to, which must divide its height and width.
        filters: of the convolution.
        hidden: width of the dense layer.
        open_probability: of an untrained network, about, in (0, 1). The estimator's gradient fades near 0 and 1.
        estimator: slope of the rounding, as in ops.round_straight_through.
        noise: standard deviation of the noise before the sigmoid, at first.
        always: names of units that always run and are no decision; None for the chain's last unit that can be skipped.
        seed: of the noise.
        tau: a unit runs in inference if its probability is greater than tau, in [0, 1].
        gradient_scale: multiplies the gradients of its weights: with SGD a learning rate of its own, this many times
            the chain's; short trainings need it.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if a number is out of range, `always` names a unit that is not there, or, when it is bound, there
            is no unit left to decide (with always=None: fewer than two that can be skipped) or the stem's output cannot
            be pooled to the grid.

    Source: SGAD (Wang et al. 2018), sections 3.1 and 3.2, figure 2(b).
    """

    def __init__(
        self,
        grid=4,
        filters=12,
        hidden=20,
        open_probability=0.75,
        estimator="sinc",
        noise=0.0,
        always=None,
        seed=None,
        tau=0.5,
        gradient_scale=1.0,
        **kwargs,
    ):
        super().__init__(() if always is None else always, **kwargs)
        for name, value in (("grid", grid), ("filters", filters), ("hidden", hidden)):
            if not is_count(value):
                raise ValueError(f"{name} must be a positive int, got {value!r}.")
        round_straight_through(ops.zeros((1,)), estimator)  # raises if it is unknown
        self.grid, self.filters, self.hidden, self.estimator, self.seed = grid, filters, hidden, estimator, seed
        self.open_probability = check_open_probability(open_probability)
        self.last_always = always is None
        self.gradient_scale = check_number("gradient_scale", gradient_scale, positive=True)
        self.seed_generator = SeedGenerator(seed)
        self.noise = self.scalar("noise", check_number("noise", noise))
        self.tau = self.scalar("tau", check_fraction("tau", tau))
        self.network: Any = None  # until it is bound

    def choose(self, chain):
        """Returns the skippable units that do not always run."""
        chosen = super().choose(chain)
        if self.last_always:
            chosen = chosen[:-1]
        if not chosen:
            raise ValueError(
                f"a BinaryMaskNetwork decides all units but the last, or but those in `always`: it needs at least two "
                f"units that can be skipped, got units {chain.skippable_names} and "
                f"always={None if self.last_always else self.always}."
            )
        return chosen

    def prepare(self, chain):
        """Makes and builds the network for the stem's output."""
        spec = chain.input_specs[0]
        shape: tuple = getattr(spec, "shape", ())
        if len(shape) != 4 or any(not size or size % self.grid for size in shape[1:3]):
            raise ValueError(
                f"grid must divide height and width of the stem's output, [batch, height, width, channels], got "
                f"grid={self.grid} for {tuple(shape)}."
            )
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        exact = {"dtype": "float32"}  # under mixed precision too
        self.network = keras.Sequential(
            [
                layers.AveragePooling2D((shape[1] // self.grid, shape[2] // self.grid), name="pool", **exact),
                layers.Conv2D(self.filters, 3, padding="same", use_bias=False, name="look", **exact),
                layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm", **exact),
                layers.ReLU(name="relu", **exact),
                layers.Flatten(name="flatten", **exact),
                layers.Dense(self.hidden, "relu", name="hidden", **exact),
                layers.Dense(
                    len(self.names), bias_initializer=keras.initializers.Constant(odds), name="logits", **exact
                ),
            ],
            name="bmnet",
        )
        self.network.build(shape)
        self._binding.nodes["bmnet"] = tree(self.network, spec, "bmnet")

    def begin(self, image, x, training=None):
        """Runs the network; the carry is (probabilities, decisions), each [batch, units]."""
        x = ops.cast(x, "float32")
        if training:
            x = scale_gradient(x, 1.0 / self.gradient_scale)  # the stem learns as without
        logits = self.network(x, training=training)
        if not training:
            return ops.sigmoid(logits), self.over_tau(logits) > 0
        logits = scale_gradient(logits, self.gradient_scale)
        noise = self.noise * keras.random.normal(ops.shape(logits), seed=self.seed_generator)
        noisy = ops.sigmoid(logits + noise)
        return ops.sigmoid(logits), round_straight_through(noisy, self.estimator)

    def decide(self, k, x, carry, training=None):
        """Returns unit k's column of what begin found."""
        return self.columns_of(k, carry)

    def set_noise(self, deviation):
        """Sets the noise.

        Args:
            deviation: standard deviation of what is added to logits in training, at least 0.

        Raises:
            ValueError: if it is negative.
        """
        self.noise.assign(np.float32(check_number("noise", deviation)))

    def restricted_to(self, chain):
        """Returns the network with the logits of the chain's units."""
        fewer = self.fresh(chain)
        columns = [self.names.index(name) for name in fewer.names]
        for mine, its in zip(self.network.layers, fewer.network.layers, strict=True):
            weights = mine.get_weights()
            its.set_weights([each[..., columns] for each in weights] if mine.name == "logits" else weights)
        return fewer

    def begin_nodes(self) -> list[Node]:
        """Returns the network's cost."""
        return [] if self.idle else [self._binding.nodes["bmnet"]]

    def get_config(self):
        """Returns the arguments; noise and tau are those of now."""
        return {
            **super().get_config(),
            "grid": self.grid,
            "filters": self.filters,
            "hidden": self.hidden,
            "open_probability": self.open_probability,
            "estimator": self.estimator,
            "noise": float(ops.convert_to_numpy(self.noise)),
            "always": None if self.last_always else list(self.always),
            "seed": self.seed,
            "gradient_scale": self.gradient_scale,
        }
