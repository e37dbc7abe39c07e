"""One gate per unit."""

import keras

from keras_dynamic.cost import tree
from keras_dynamic.deciders.gumbel_gates import GumbelGates
from keras_dynamic.layers import FreeGate, Gate
from keras_dynamic.layers.gate import check_hidden
from keras_dynamic.messages import near


@keras.saving.register_keras_serializable("keras_dynamic")
class PerUnitGates(GumbelGates):
    """A gate before each unit.

    Args:
        data_dependent: True for gates that read the unit's input, False for free logits (pruning).
        hidden: width of a data-dependent gate's hidden layer.
        open_probability: of an untrained gate, in (0, 1).
        always: names of units that always run and get no gate.
        settled: {decision name: whether it runs} of decisions that are the same for all images, see training.settle.
            A gate all of whose decisions are settled is not there.
        **kwargs: of GumbelGates (temperature, hard, tau, seed, noise, gradient_scale, detached) and keras.layers.Layer.

    Raises:
        ValueError: as GumbelGates, if hidden is no positive int, or if `always` names a unit that is not there, or
            `settled` a decision, or if settled is no such dictionary.

    Source: Herrmann et al., sections 3.2 and 3.3; AIG.
    """

    def __init__(self, data_dependent=True, hidden=16, open_probability=0.98, always=(), settled=None, **kwargs):
        super().__init__(open_probability=open_probability, always=always, **kwargs)
        self.data_dependent, self.hidden = data_dependent, check_hidden(hidden)
        settled = settled or {}
        if not isinstance(settled, dict) or any(run not in (False, True) for run in settled.values()):
            raise ValueError(f"settled must be {{name of a decision: True or False}}, got {settled!r}.")
        self.settled = {name: bool(run) for name, run in settled.items()}

    @property
    def known(self):
        """What is settled."""
        return dict(self.settled)

    def groups_of(self, unit):
        """Returns how many decisions a unit's gate takes: None for one on the unit as a whole."""
        return None

    def prepare(self, chain):
        """Makes a gate per decided unit, the first of those that obey it, and builds it for the unit's input."""
        for name in self.settled:
            if name not in self.names:
                raise ValueError(
                    f"settled names {name!r}, which is not decided here{near(name, self.names)}; decisions are "
                    f"{list(self.names)}."
                )
        waiting = set(self.names)
        for unit, spec in zip(chain.units, chain.input_specs, strict=True):
            own = waiting.intersection(self.decisions_of(unit))
            waiting -= own
            self._binding.settled[unit.name] = {name: run for name, run in self.settled.items() if name in own}
            if not own <= set(self.settled):
                gate = self.make_gate(unit)
                gate(spec)
                self.gates[unit.name] = gate
                self._binding.nodes[unit.name] = tree(gate, spec)

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for a unit."""
        own = {"groups": self.groups_of(unit), "outputs": self.outputs_of(unit), "name": f"{unit.name}_gate"}
        if self.data_dependent:
            return Gate(self.hidden, self.open_probability, **own)
        return FreeGate(self.open_probability, **own)

    def outputs_of(self, unit):
        """Returns the numbers of the unit's groups that the gate is left to decide; None for all, or for the unit."""
        names = self.decisions_of(unit)[1:]
        left = [number for number, name in enumerate(names) if name not in self.settled]
        return None if self.groups_of(unit) is None or len(left) == len(names) else left

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for what unit k's gate says."""
        return {self.unit_names[k]: values}

    def logits(self, k, x, training=None):
        """Returns what unit k's gate says, the logits of running, or None if it has no gate."""
        gate = self.gates.get(self.unit_names[k])
        return None if gate is None else gate(self.gate_input(x, training), training=training)

    def decide(self, k, x, carry, training=None):
        """Samples in training, compares with tau otherwise."""
        logits = self.logits(k, x, training)
        if logits is None:
            return *self.with_settled(k, {}, {}), carry
        return *self.with_settled(k, *self.decided(logits, lambda values: self.by_name(k, values), training)), carry

    def with_settled(self, k, decisions, probabilities):
        """Returns decisions and probabilities of unit k, what its gate says and what is settled, in order."""
        settled = self._binding.settled[self.unit_names[k]]
        decided = {**decisions, **settled}
        chances = {**probabilities, **{name: float(run) for name, run in settled.items()}}
        names = [name for name in self.names if name in decided]
        return {name: decided[name] for name in names}, {name: chances[name] for name in names}

    def config_for(self, chain):
        """Returns the arguments, what is settled as far as the chain has it."""
        left = self.choose(chain)
        return {**self.get_config(), "settled": {name: run for name, run in self.settled.items() if name in left}}

    def restricted_to(self, chain):
        """Returns the gates of the chain's units."""
        fewer = self.fresh(chain)
        for name, gate in fewer.gates.items():
            gate.set_weights(self.gates[name].get_weights())
        return fewer

    def unit_nodes(self, k):
        """Returns the gate's cost."""
        name = self.unit_names[k]
        return [self._binding.nodes[name]] if name in self._binding.nodes and not self.idle else []

    def get_config(self):
        """Returns the arguments; temperature and tau are those of now."""
        return {
            **super().get_config(),
            "data_dependent": self.data_dependent,
            "hidden": self.hidden,
            "settled": dict(self.settled),
        }
