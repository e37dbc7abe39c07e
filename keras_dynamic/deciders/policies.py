"""Networks that decide all units at once: Bernoulli policies, sequential policies, SGAD's binary mask network."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.cost import Node, output_spec, tree
from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.layers.constant_variables import constant_value
from keras_dynamic.layers.logits_end import check_logits
from keras_dynamic.messages import check_fraction, check_number, check_open_probability, is_count
from keras_dynamic.ops import SeedGenerator, bounded, round_straight_through, scale_gradient

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

    one_shot = False  # whether all decisions are made before the first unit runs

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
        """Returns True for a unit held open by constant variables, else the value that tau implies."""
        opened = constant_value(self.opened)
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
        if constant_value(self.opened) is None:
            logits += (1.0 - ops.cast(free, "float32")) * _LIFT
        # With constant variables, units held open are constants.
        return self.exceed_tau(logits) if self.one_shot else self.over_tau(logits) > 0

    def inferred(self, name, decision, probability):
        """Returns whether the probability is greater than tau, or the unit is held open."""
        held = self.names.index(name) < len(self.names) - ops.convert_to_tensor(self.opened)
        return ops.logical_or(held, super().inferred(name, decision, probability))

    def begin(self, image, x, training=None):
        """Counts the training step."""
        if training:
            self.steps.assign(self.steps + 1)
        return ()


@keras.saving.register_keras_serializable("keras_dynamic")
class Policy(BernoulliPolicy):
    """A policy network: decides every unit from the image, before the first unit runs.

        policy = kd.deciders.Policy(kd.models.policy_resnet(units=15))

    Args:
        network: Keras model or layer from the image [batch, height, width, channels] to one logit per decided unit,
            [batch, units], in the chain's order. It always runs, and its cost always counts.
        *args: of BernoulliPolicy: alpha, always, seed, tau.
        **kwargs: likewise, and of keras.layers.Layer.

    Raises:
        ValueError: if alpha is outside (0.5, 1], `always` names a unit that is not there, or, when it is bound, the
            network has another number of outputs than there are units to decide.

    Source: BlockDrop, section 3.2.
    """

    one_shot = True

    def __init__(self, network, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.network = network

    def prepare(self, chain):
        """Builds the network for the chain's images."""
        if not self.network.built:
            self.network.build(chain.image_spec.shape)
        spec = output_spec(self.network, chain.image_spec)
        units = len(self.names)
        if not isinstance(spec, keras.KerasTensor) or len(spec.shape) != 2 or spec.shape[-1] != units:
            shape = list(spec.shape) if isinstance(spec, keras.KerasTensor) else keras.tree.map_structure(str, spec)
            raise ValueError(
                f"policy network {self.network.name!r} must give one logit for each of the {units} units that it "
                f"decides, [batch, {units}], got {shape}; build it with {units} outputs."
            )
        check_logits(self.network, f"policy network {self.network.name!r}")
        self._binding.nodes["policy"] = tree(self.network, chain.image_spec, "policy")

    def begin(self, image, x, training=None):
        """Runs the network; the carry is (probabilities, decisions), each [batch, units]."""
        super().begin(image, x, training)
        logits = ops.cast(self.network(image, training=training), "float32")
        probabilities = ops.sigmoid(logits)
        if training:
            return probabilities, self.sample(probabilities, self.free)
        return probabilities, self.greedy(logits, self.free)

    def decide(self, k, x, carry, training=None):
        """Returns unit k's column of the carry."""
        return self.columns_of(k, carry)

    def begin_nodes(self) -> list[Node]:
        """Returns the network's cost."""
        return [] if self.idle else [self._binding.nodes["policy"]]


@keras.saving.register_keras_serializable("keras_dynamic")
class SequentialPolicy(BernoulliPolicy):
    """BlockDrop-seq: a linear score of each unit's pooled input, softmax over drop and keep.

    The softmax over two scores is the sigmoid of their difference, so one score is kept. Later decisions see what
    earlier ones did, at the price of a decision between every two units.

    Args:
        open_probability: of an untrained score, in (0, 1).
        *args: of BernoulliPolicy: alpha, always, seed, tau.
        **kwargs: likewise, and of keras.layers.Layer.

    Raises:
        ValueError: if alpha or open_probability is out of range, or `always` names a unit that is not there.

    Source: BlockDrop, supplement, "Details of BlockDrop-seq".
    """

    def __init__(self, open_probability=0.5, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.open_probability = check_open_probability(open_probability)
        self.scores = {}

    def prepare(self, chain):
        """Makes a score per unit and builds it for the unit's input."""
        odds = keras.initializers.Constant(math.log(self.open_probability / (1.0 - self.open_probability)))
        for name, spec in zip(self.unit_names, chain.input_specs, strict=True):
            if name in self.names:
                leaf = keras.tree.flatten(spec)[0]
                pools = {3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D}
                pool = [pools[len(leaf.shape)](dtype="float32")] if len(leaf.shape) in pools else []
                dense = layers.Dense(1, bias_initializer=odds, dtype="float32", name="score")
                score = keras.Sequential([*pool, dense], name=f"{name}_policy")
                score.build(leaf.shape)
                self.scores[name] = score
                self._binding.nodes[name] = tree(score, leaf)

    def decide(self, k, x, carry, training=None):
        """Samples in training, takes the more probable value otherwise."""
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        leaf = ops.stop_gradient(keras.tree.flatten(x)[0])  # the chain learns from the task loss, not from rewards
        logits = self.scores[name](leaf, training=training)[:, 0]
        free = self.free[self.names.index(name)]
        probabilities = ops.sigmoid(logits)
        decision = self.sample(probabilities, free) if training else self.greedy(logits, free)
        return {name: decision}, {name: probabilities}, carry

    def unit_nodes(self, k):
        """Returns the score's cost."""
        name = self.unit_names[k]
        return [self._binding.nodes[name]] if name in self._binding.nodes and self.constant(name) is None else []


@keras.saving.register_keras_serializable("keras_dynamic")
class BinaryMaskNetwork(ThresholdDecider):
    """BMNet: decides every unit but the last from the stem's output.

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
        if len(shape) not in (3, 4) or any(not size or size % self.grid for size in shape[1:-1]):
            raise ValueError(
                f"grid must divide height and width (or the steps) of the stem's output, [batch, height, width, "
                f"channels] or [batch, steps, channels], got grid={self.grid} for {tuple(shape)}."
            )
        window = tuple(size // self.grid for size in shape[1:-1])
        pool, convolution = layers.AveragePooling2D, layers.Conv2D
        if len(shape) == 3:
            pool, convolution = layers.AveragePooling1D, layers.Conv1D
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        exact = {"dtype": "float32"}  # under mixed precision too
        self.network = keras.Sequential(
            [
                pool(window, name="pool", **exact),
                convolution(self.filters, 3, padding="same", use_bias=False, name="look", **exact),
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
            return ops.sigmoid(logits), self.exceed_tau(logits)
        logits = scale_gradient(logits, self.gradient_scale)
        noise = self.noise * keras.random.normal(ops.shape(logits), seed=self.seed_generator)
        noisy = ops.sigmoid(logits + noise)
        return ops.sigmoid(logits), round_straight_through(noisy, self.estimator)

    def decide(self, k, x, carry, training=None):
        """Returns unit k's column of the carry."""
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
        return {**super().get_config(), "always": None if self.last_always else list(self.always)}
