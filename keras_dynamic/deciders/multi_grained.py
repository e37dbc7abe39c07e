"""Gates of dual dynamic inference: one LSTM for all units, and small CNNs for groups of channels."""

import math
from typing import Any

import keras
from keras import layers

from keras_dynamic.cost import Node
from keras_dynamic.deciders.gates import ChannelGates, GumbelGates
from keras_dynamic.layers import ConvolutionGate
from keras_dynamic.layers.gates import ForgetBias, lstm_step, pooled
from keras_dynamic.messages import is_count


@keras.saving.register_keras_serializable("keras_dynamic")
class RecurrentGates(GumbelGates):
    """One LSTM, shared by all units, decides each from its input and from what it saw before.

    The means of the channels of a unit's input are projected to `features` numbers, the LSTM takes a step, and a dense
    layer gives the logit of running. The LSTM steps whether or not the unit then runs. In training the probability is
    rounded, with the gradient of the probability. The state is the decider's carry, zero at first, so that the first
    step has no recurrent part; steps are written out, so that every TFLite runtime runs them.

    Args:
        features: width of the projection.
        hidden: size of the LSTM's state.
        per_unit: True for a projection for each unit, False for one for each number of channels.
        open_probability: of an untrained gate, about, in (0, 1).
        noise: True samples in training, with Gumbel noise; False, as in the paper, rounds.
        always: names of units that always run and are no decision; None for the first unit that can be skipped.
        **kwargs: of GumbelGates (temperature, hard, tau, seed, gradient_scale, detached) and keras.layers.Layer.

    Raises:
        ValueError: as GumbelGates; if features or hidden is no positive int; or, when it is bound, if there is no unit
            left to decide (with always=None: fewer than two that can be skipped).

    Source: DDI, sections 3.1.2 and 4.1, figure 2(a); SkipNet, whose first unit is never skipped.
    """

    def __init__(self, features=10, hidden=10, per_unit=True, open_probability=0.9, noise=False, always=None, **kwargs):
        super().__init__(open_probability, noise=noise, always=() if always is None else always, **kwargs)
        for name, value in (("features", features), ("hidden", hidden)):
            if not is_count(value):
                raise ValueError(f"{name} must be a positive int, got {value!r}.")
        self.features, self.hidden, self.per_unit = features, hidden, bool(per_unit)
        self.first_always = always is None
        self.projections: dict[str, Any] = {}
        odds = keras.initializers.Constant(math.log(open_probability / (1.0 - open_probability)))
        small = keras.initializers.RandomNormal(stddev=0.01)
        exact: dict[str, Any] = {"dtype": "float32"}  # under mixed precision too
        self.look = layers.Dense(4 * hidden, bias_initializer=ForgetBias(), name="look", **exact)
        self.remember = layers.Dense(
            4 * hidden, use_bias=False, kernel_initializer="orthogonal", name="remember", **exact
        )
        self.score = layers.Dense(1, kernel_initializer=small, bias_initializer=odds, name="score", **exact)

    def choose(self, chain):
        """Returns the skippable units that do not always run."""
        chosen = super().choose(chain)[int(self.first_always) :]
        if not chosen:
            raise ValueError(
                "RecurrentGates decide all units but the first, or but those in `always`: they need at least two units "
                f"that can be skipped, got units {chain.skippable_names} and "
                f"always={None if self.first_always else self.always}."
            )
        return chosen

    def prepare(self, chain):
        """Makes the projections, and builds them and the LSTM."""
        self.look.build((None, self.features))
        self.remember.build((None, self.hidden))
        self.score.build((None, self.hidden))
        shared = sum(layer.count_params() for layer in (self.look, self.remember, self.score))
        inputs = dict(zip(self.unit_names, chain.input_specs, strict=True))
        for name in self.names:
            channels, later = keras.tree.flatten(inputs[name])[0].shape[-1], name != self.names[0]
            key, parameters = self._key(name, channels), 0 if later else shared  # weights count once, where first used
            if key not in self.projections:
                made = layers.Dense(self.features, activation="relu", dtype="float32", name=f"project_{key}")
                made.build((None, channels))
                self.projections[key] = made
                parameters += made.count_params()
            width = 4 * self.hidden
            macs = channels * self.features + self.features * width + later * self.hidden * width + self.hidden
            self._binding.nodes[name] = Node(f"{name}_gate", macs, parameters)  # the first step has no recurrent part

    def _key(self, name, channels) -> str:
        return name if self.per_unit else str(channels)

    def decide(self, k, x, carry, training=None):
        """Takes the LSTM's step, then rounds in training and compares with tau otherwise."""
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        seen = pooled(self.gate_input(x, training))
        gates = self.look(self.projections[self._key(name, seen.shape[-1])](seen))
        state, cell = lstm_step(gates + self.remember(carry[0]), carry[1]) if carry else lstm_step(gates)
        logits = self.score(state)[:, 0]
        return *self.decided(logits, lambda values: {name: values}, training), (state, cell)

    def unit_nodes(self, k):
        """Returns the cost of the LSTM's step."""
        name = self.unit_names[k]
        return [self._binding.nodes[name]] if name in self._binding.nodes and not self.idle else []

    def get_config(self):
        """Returns the arguments; tau and temperature are those of now."""
        return {**super().get_config(), "always": None if self.first_always else list(self.always)}


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelCNNGates(ChannelGates):
    """A small CNN before each unit with channel groups, which decides its groups.

    Together with a decider of whole units it is the fine one of two grains: its gates run, and count, only where the
    unit runs.

        gates = kd.deciders.CombinedDecider([kd.deciders.RecurrentGates(), kd.deciders.ChannelCNNGates()])

    Args:
        filters: of the 3x3 convolution of stride 2; None for as many as the unit's input has channels, which makes the
            gate cost an eighth of a residual block, as in the paper.
        bottleneck: filters of a 1x1 convolution before it, for dense networks, whose inputs have many channels; None
            for none.
        noise: as of RecurrentGates.
        **kwargs: of ChannelGates, but for data_dependent and memory; hidden is of the gates of whole units.

    Raises:
        ValueError: as ChannelGates; if filters or bottleneck is no positive int; or if there is a memory, or
            data_dependent is False.

    Source: DDI, section 3.1.2, figure 2(b); section 3.1.3 for dense networks.
    """

    def __init__(self, filters=None, bottleneck=None, noise=False, **kwargs):
        super().__init__(noise=noise, **kwargs)
        if self.memory is not None or not self.data_dependent:
            raise ValueError(
                f"gates that are small CNNs read images and have no memory, got memory={self.memory} and "
                f"data_dependent={self.data_dependent}; take ChannelGates."
            )
        self.filters, self.bottleneck = filters, bottleneck
        ConvolutionGate(1, filters, bottleneck)  # raises if they are wrong

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for the groups that it is left to decide."""
        outputs = self.outputs_of(unit)
        count = self.groups_of(unit) if outputs is None else len(outputs)
        if count is None:  # a unit that is gated as a whole
            return super().make_gate(unit)
        name = f"{unit.name}_gate"
        return ConvolutionGate(count, self.filters, self.bottleneck, self.open_probability, name=name)
