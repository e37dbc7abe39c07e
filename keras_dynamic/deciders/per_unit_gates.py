"""One gate per unit."""

import keras
from keras import ops

from keras_dynamic.cost import tree
from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.layers import FreeGate, Gate
from keras_dynamic.messages import check_fraction
from keras_dynamic.ops import binary_gumbel, scale_gradient


@keras.saving.register_keras_serializable("keras_dynamic")
class PerUnitGates(ThresholdDecider):
    """A gate before each unit; sampled with the Gumbel trick in training, compared with tau in inference.

    temperature and tau are non-trainable variables: saved with the model and seen by compiled graphs when they change.

    Args:
        data_dependent: True for gates that read the unit's input, False for free logits (pruning).
        hidden: width of a data-dependent gate's hidden layer.
        open_probability: of an untrained gate, in (0, 1).
        always: names of units that always run and get no gate.
        temperature: of the Gumbel sample, positive.
        hard: True for straight-through 0/1 samples in training, False for soft ones.
        tau: a unit runs in inference if its probability is greater than tau, in [0, 1]; 0 always runs, 1 never.
        seed: of the samples.
        noise: False compares with one half in training too, with the gradient of the soft sample: nothing is skipped at
            random while the chain is still learning to do without, which short trainings cannot mend.
        gradient_scale: multiplies the gradient into the gates: with SGD a learning rate of their own, this many times
            the chain's; short trainings need it.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if tau or open_probability is out of range, the temperature is not positive, or `always` names a
            unit that is not there.

    Source: Herrmann et al., sections 3.2 and 3.3; AIG.
    """

    def __init__(
        self,
        data_dependent=True,
        hidden=16,
        open_probability=0.98,
        always=(),
        temperature=1.0,
        hard=True,
        tau=0.5,
        seed=None,
        noise=True,
        gradient_scale=1.0,
        **kwargs,
    ):
        super().__init__(always, **kwargs)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature!r}; the papers use 1.")
        self.data_dependent, self.hidden, self.open_probability = data_dependent, hidden, open_probability
        self.hard, self.seed = hard, seed
        self.noise, self.gradient_scale = noise, gradient_scale
        initial = {"temperature": float(temperature), "tau": check_fraction("tau", tau)}
        self.temperature = self.scalar("temperature", initial["temperature"])
        self.tau = self.scalar("tau", initial["tau"])
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.gates = {}

    def groups_of(self, unit):
        """Returns how many decisions a unit's gate takes: None for one on the unit as a whole."""
        return None

    def prepare(self, chain):
        """Makes a gate per decided unit, the first of those that obey it, and builds it for the unit's input."""
        waiting = set(self.names)
        for unit, spec in zip(chain.units, chain.input_specs, strict=True):
            own = {self.decision_of(name) for name in (unit.name, *getattr(unit, "group_names", ()))}
            if own & waiting:
                waiting -= own
                gate = self.make_gate(unit)
                gate(spec)
                self.gates[unit.name] = gate
                self._binding.nodes[unit.name] = tree(gate, spec)

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for a unit."""
        if self.data_dependent:
            return Gate(self.hidden, self.open_probability, self.groups_of(unit), name=f"{unit.name}_gate")
        return FreeGate(self.open_probability, self.groups_of(unit), name=f"{unit.name}_gate")

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for what unit k's gate says."""
        return {self.unit_names[k]: values}

    def logits(self, k, x, training=None):
        """Returns what unit k's gate says, the logits of running, or None if it has no gate."""
        gate = self.gates.get(self.unit_names[k])
        return None if gate is None else gate(x, training=training)

    def decide(self, k, x, carry, training=None):
        """Samples in training, compares with tau otherwise."""
        logits = self.logits(k, x, training)
        if logits is None:
            return {}, {}, carry
        if training:
            logits = scale_gradient(logits, self.gradient_scale)
            noise = None if self.noise else ops.zeros_like(logits)
            taken = self.by_name(k, binary_gumbel(logits, self.temperature, self.hard, noise, self.seed_generator))
        else:  # one comparison for each decision: the exporter knows a decision by it
            taken = {name: over > 0 for name, over in self.by_name(k, self.over_tau(logits)).items()}
        return taken, self.by_name(k, ops.sigmoid(logits)), carry

    def restricted_to(self, chain):
        """Returns the gates of the chain's units."""
        fewer = self.fresh(chain)
        for name, gate in fewer.gates.items():
            gate.set_weights(self.gates[name].get_weights())
        return fewer

    def unit_nodes(self, k):
        """Returns the gate's cost."""
        name = self.unit_names[k]
        return [self._binding.nodes[name]] if name in self._binding.nodes else []

    def get_config(self):
        """Returns the arguments; temperature and tau are those of now."""
        return {
            **super().get_config(),
            "data_dependent": self.data_dependent,
            "hidden": self.hidden,
            "open_probability": self.open_probability,
            "temperature": float(keras.ops.convert_to_numpy(self.temperature)),
            "hard": self.hard,
            "seed": self.seed,
            "noise": self.noise,
            "gradient_scale": self.gradient_scale,
        }
