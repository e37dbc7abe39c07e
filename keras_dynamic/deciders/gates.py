"""Gates that decide units, channel groups and exits, trained with Gumbel noise."""

import math

import keras
from keras import layers, ops

from keras_dynamic.cost import tree
from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.layers import Gate, StaticGate
from keras_dynamic.layers.decider import check_names
from keras_dynamic.layers.gates import check_hidden, check_memory
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.messages import check_fraction, check_number, check_open_probability, did_you_mean
from keras_dynamic.ops import SeedGenerator, binary_gumbel, scale_gradient


class GumbelGates(ThresholdDecider):
    """Gates that are sampled with the Gumbel trick in training and compared with tau in inference.

    temperature and tau are non-trainable variables: saved with the model and seen by compiled graphs when they change.

    Args:
        open_probability: of an untrained gate, in (0, 1).
        temperature: of the Gumbel sample, positive.
        hard: True for straight-through 0/1 samples in training, False for soft ones.
        tau: a unit runs in inference, or an image continues after an exit, if its probability is greater than tau, in
            [0, 1]; 0 always runs, 1 never.
        seed: of the samples.
        noise: False compares with one half in training too, with the gradient of the soft sample: nothing is skipped at
            random while the chain is still adapting, which short trainings do not recover from.
        gradient_scale: multiplies the gradients of the gates' weights: with SGD a learning rate of their own, this many
            times the chain's; what flows through gates into the chain stays as without. At 0 nothing flows through them
            and no loss moves gates, but weight decay and batch norm still do.
        detached: True stops the gradient through the gates to their inputs: an activation loss then trains gates alone.
        **kwargs: of ThresholdDecider (always) and keras.layers.Layer.

    Raises:
        ValueError: if tau or open_probability is out of range, the temperature is not positive, or gradient_scale is no
            number of at least 0.

    Source: Herrmann et al., sections 3.2 and 3.3; AIG.
    """

    def __init__(
        self,
        open_probability=0.98,
        temperature=1.0,
        hard=True,
        tau=0.5,
        seed=None,
        noise=True,
        gradient_scale=1.0,
        detached=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.open_probability = check_open_probability(open_probability)
        self.hard, self.seed = hard, seed
        self.noise, self.detached = noise, detached
        self.gradient_scale = check_number("gradient_scale", gradient_scale)
        self.temperature = self.scalar("temperature", check_number("temperature", temperature, positive=True))
        self.tau = self.scalar("tau", check_fraction("tau", tau))
        self.seed_generator = SeedGenerator(seed)
        self.gates = {}

    def gate_input(self, x, training=None):
        """Returns a gate's input x, with its gradient to the chain scaled or stopped.

        Args:
            x: nest of tensors, [batch, ...].
            training: whether there will be a gradient.
        """
        factor = 0.0 if self.detached else 1.0 / (self.gradient_scale or 1.0)
        if factor == 1.0 or not training:
            return x
        return keras.tree.map_structure(lambda leaf: scale_gradient(leaf, factor), x)

    def decided(self, logits, by_name, training=None):
        """Samples in training, compares with tau otherwise.

        Args:
            logits: of a gate, float tensor [batch] or [batch, groups].
            by_name: function from values of the logits' shape to {decision name: values [batch]}.
            training: whether to sample.

        Returns:
            (decisions, probabilities), each by name, as Decider.decide returns them.
        """
        if training:
            logits = scale_gradient(logits, self.gradient_scale)
            noise = None if self.noise else ops.zeros_like(logits)
            taken = by_name(binary_gumbel(logits, self.temperature, self.hard, noise, self.seed_generator))
        else:  # one comparison for each decision: the exporter finds a decision by it
            taken = {name: over > 0 for name, over in by_name(self.over_tau(logits)).items()}
        return taken, by_name(ops.sigmoid(logits))


@keras.saving.register_keras_serializable("keras_dynamic")
class PerUnitGates(GumbelGates):
    """A gate before each unit.

    Args:
        data_dependent: True for gates that read the unit's input, False for free logits (pruning).
        hidden: width of a data-dependent gate's hidden layer.
        open_probability: of an untrained gate, in (0, 1).
        always: names of units that always run and get no gate.
        frozen: {decision name: whether it runs} of decisions that are the same for all images, see
            transform.freeze_decisions. A gate all of whose decisions are frozen is left out.
        **kwargs: of GumbelGates (temperature, hard, tau, seed, noise, gradient_scale, detached) and keras.layers.Layer.

    Raises:
        ValueError: as GumbelGates, if hidden is no positive int, or if `always` names a unit that is not there, or
            `frozen` a decision, or if frozen is no such dictionary.

    Source: Herrmann et al., sections 3.2 and 3.3; AIG.
    """

    def __init__(self, data_dependent=True, hidden=16, open_probability=0.98, always=(), frozen=None, **kwargs):
        super().__init__(open_probability=open_probability, always=always, **kwargs)
        self.data_dependent, self.hidden = data_dependent, check_hidden(hidden)
        frozen = frozen or {}
        if not isinstance(frozen, dict) or any(run not in (False, True) for run in frozen.values()):
            raise ValueError(f"frozen must be {{name of a decision: True or False}}, got {frozen!r}.")
        self.frozen = {name: bool(run) for name, run in frozen.items()}

    @property
    def constants(self):
        """The frozen decisions."""
        return dict(self.frozen)

    def groups_of(self, unit):
        """Returns how many decisions a unit's gate takes: None for one on the unit as a whole."""
        return None

    def prepare(self, chain):
        """Makes a gate per decided unit, before the first unit that it controls, and builds it for the unit's input."""
        for name in self.frozen:
            if name not in self.names:
                raise ValueError(
                    f"frozen names {name!r}, which is not decided here{did_you_mean(name, self.names)}; decisions are "
                    f"{list(self.names)}."
                )
        waiting = set(self.names)
        for unit, spec in zip(chain.units, chain.input_specs, strict=True):
            own = waiting.intersection(self.decisions_of(unit))
            waiting -= own
            self._binding.frozen[unit.name] = {name: run for name, run in self.frozen.items() if name in own}
            if not own <= set(self.frozen):
                gate = self.make_gate(unit)
                gate(spec)
                self.gates[unit.name] = gate
                self._binding.nodes[unit.name] = tree(gate, spec)

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for a unit."""
        own = {"groups": self.groups_of(unit), "outputs": self.outputs_of(unit), "name": f"{unit.name}_gate"}
        if self.data_dependent:
            return Gate(self.hidden, self.open_probability, **own)
        return StaticGate(self.open_probability, **own)

    def outputs_of(self, unit):
        """Returns the numbers of the unit's groups that the gate is left to decide; None for all, or for the unit."""
        names = self.decisions_of(unit)[1:]
        left = [number for number, name in enumerate(names) if name not in self.frozen]
        return None if self.groups_of(unit) is None or len(left) == len(names) else left

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for the output of unit k's gate."""
        return {self.unit_names[k]: values}

    def logits(self, k, x, training=None):
        """Returns the logits of running of unit k's gate, or None if it has no gate."""
        gate = self.gates.get(self.unit_names[k])
        return None if gate is None else gate(self.gate_input(x, training), training=training)

    def decide(self, k, x, carry, training=None):
        """Samples in training, compares with tau otherwise."""
        logits = self.logits(k, x, training)
        if logits is None:
            return *self.with_frozen(k, {}, {}), carry
        return *self.with_frozen(k, *self.decided(logits, lambda values: self.by_name(k, values), training)), carry

    def with_frozen(self, k, decisions, probabilities):
        """Returns decisions and probabilities of unit k, its gate's and the frozen ones, in order."""
        frozen = self._binding.frozen[self.unit_names[k]]
        decided = {**decisions, **frozen}
        probabilities = {**probabilities, **{name: float(run) for name, run in frozen.items()}}
        names = [name for name in self.names if name in decided]
        return {name: decided[name] for name in names}, {name: probabilities[name] for name in names}

    def config_for(self, chain):
        """Returns the arguments, what is frozen as far as the chain has it."""
        left = self.choose(chain)
        return {**self.get_config(), "frozen": {name: run for name, run in self.frozen.items() if name in left}}

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


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelGates(PerUnitGates):
    """A gate before each unit with channel groups, which decides every group that is not forced.

    Data-independent gates prune: transform.strip_gates makes an ordinary network of the rest.

        model = kd.methods.ActivationGating(chain, kd.deciders.ChannelGates(data_dependent=False), target=0.5)

    Args:
        *args: of PerUnitGates; `always` names units all of whose groups always run.
        locked: {name: names of units}: the units' corresponding groups are one decision, 'name[1]' and so on, made by
            a gate before the first of them. They must have the same groups.
        whole_units: whether units without groups that can be skipped are gated too, each as a whole.
        memory: width of the hidden layer through which the gates of a unit's groups see one another's tentative
            decisions, see layers.Gate; None for none. It needs data-dependent gates.
        **kwargs: of PerUnitGates.

    Raises:
        ValueError: as PerUnitGates; if locked is no such dictionary or names a unit twice; if memory is no positive
            int, or gates read nothing; or, when it is bound, if no unit has groups, or locked units have none, or
            different ones.

    Source: Herrmann et al., sections 1.1, 3.4, 4.2 and S1.3 (locked gates, memory).
    """

    def __init__(self, *args, locked=None, whole_units=False, memory=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.whole_units = whole_units
        self.memory = check_memory(memory)
        if memory is not None and not self.data_dependent:
            raise ValueError(
                f"memory needs gates that read images, got memory={memory} with data_dependent=False; leave it out."
            )
        self.locked = _checked(locked or {}, self.always)
        self._lock_of = {unit: lock for lock, units in self.locked.items() for unit in units}

    def decision_of(self, name):
        """Returns the name of the decision on a unit's group, which for locked units begins with the lock's."""
        unit, _, group = name.rpartition("[")
        return f"{self._lock_of[unit]}[{group}" if unit in self._lock_of else name

    def choose(self, chain):
        """Returns the names of the decisions: on groups, and with whole_units on other units, less `always`."""
        skippable = chain.skippable_names
        decided = [
            unit.name for unit in chain.units if unit.name in skippable or bool(getattr(unit, "group_names", ()))
        ]
        check_names(self.always, chain, "always", decided)
        groups = {unit.name: getattr(unit, "group_names", ()) for unit in chain.units if unit.name not in self.always}
        if not any(groups.values()):
            forced = [unit for unit in chain.units if isinstance(getattr(unit, "body", None), GroupedBody)]
            if forced and not any(unit.group_names for unit in forced):
                raise ValueError(
                    f"ChannelGates needs groups of channels that are not forced, got none: {forced[0].name!r} has "
                    f"{forced[0].body.described}; take fewer filters per group, or fewer forced groups."
                )
            raise ValueError(
                "ChannelGates needs units with channel groups that `always` does not name, got none; give units "
                "ChannelGroups as bodies, e.g. by transform.group_channels(network, 16), or take PerUnitGates."
            )
        self._check_locks(chain)
        wholes = chain.skippable_names if self.whole_units else ()
        names = [name for unit, own in groups.items() for name in own or {unit}.intersection(wholes)]
        return list(dict.fromkeys(map(self.decision_of, names)))

    def _check_locks(self, chain):
        """Raises a ValueError if units that are locked together cannot share one gate."""
        grouped = {unit.name: unit.body for unit in chain.units if getattr(unit, "group_names", ())}
        for lock, units in self.locked.items():
            for name in units:
                if name not in grouped:
                    raise ValueError(
                        f"locked[{lock!r}] names {name!r}, which is no unit with groups that can be switched"
                        f"{did_you_mean(name, grouped)}; those are {list(grouped)}."
                    )
            if lock in [unit.name for unit in chain.units]:
                raise ValueError(f"locked needs names of its own for decisions, got {lock!r}, which is a unit's.")
            widths = {name: grouped[name].described for name in units}
            other = next((name for name in units if widths[name] != widths[units[0]]), None)
            if other is not None:
                raise ValueError(
                    f"locked units must have the same groups, got {units[0]!r} with {widths[units[0]]} and {other!r} "
                    f"with {widths[other]} in {lock!r}; lock units of one width."
                )

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for all of a unit's groups that can be switched."""
        groups = self.groups_of(unit)
        if self.memory is None or groups is None:
            return super().make_gate(unit)
        outputs = self.outputs_of(unit)
        return Gate(self.hidden, self.open_probability, groups, self.memory, outputs, name=f"{unit.name}_gate")

    def groups_of(self, unit):
        """Returns the number of the unit's groups that can be switched, None if it has none."""
        return len(getattr(unit, "group_names", ())) or None

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for the output of unit k's gate, [batch, groups]."""
        if self.unit_names[k] in self.names:
            return super().by_name(k, values)
        prefix = self.decision_of(f"{self.unit_names[k]}[")
        names = [name for name in self.names if name.startswith(prefix) and name not in self.frozen]
        return dict(zip(names, ops.unstack(values, len(names), axis=1), strict=True))


def _checked(locked, always):
    """Returns {lock: tuple of unit names}, or raises a ValueError."""
    lists = isinstance(locked, dict) and all(isinstance(units, (list, tuple)) for units in locked.values())
    if not lists or any(len(units) < 2 for units in locked.values()):
        raise ValueError(f"locked must be {{name: two or more names of units}}, got {locked!r}.")
    for lock in locked:
        if not isinstance(lock, str) or "[" in lock:
            raise ValueError(f"locked needs names without '[' for decisions, got {lock!r}.")
    named = [*always, *(unit for units in locked.values() for unit in units)]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ValueError(f"a unit is locked once, or named in `always`, got {twice} more than once; leave one out.")
    return {lock: tuple(units) for lock, units in locked.items()}


# Of a gate, by the rank of what it reads: sequences and feature maps.
_CONVOLUTIONS = {3: (layers.Conv1D, layers.AveragePooling1D), 4: (layers.Conv2D, layers.AveragePooling2D)}


@keras.saving.register_keras_serializable("keras_dynamic")
class ExitGates(GumbelGates):
    """A gate at each exit that reads the exit's input and decides whether an image continues or stops there.

    A gate is a 3x3 convolution, batch norm and ReLU for each width, an average pool over windows, and a dense layer
    that gives the logit of continuing. It does not read the exit's logits, which an exported file therefore computes
    only for images that stop.

    Args:
        widths: filters of the gate's convolutions.
        pool: height and width of the pool's windows.
        always: names of exits at which no image stops, and which get no gate.
        **kwargs: of GumbelGates (open_probability, temperature, hard, tau, seed, noise, gradient_scale, detached) and
            keras.layers.Layer.

    Raises:
        ValueError: as GumbelGates; if widths or pool are no positive numbers; or, when it is bound, if the chain has no
            exits or lacks one that `always` names, or an exit reads less than one window.

    Source: Herrmann et al., sections 5 and S1.5. The paper's gates end in two logits, of which the difference alone
    counts: it is the one logit here. The paper names no activations; there is a ReLU after each batch norm, as two
    convolutions with nothing between them would be one.
    """

    def __init__(self, widths=(128, 128), pool=4, **kwargs):
        super().__init__(**kwargs)
        self.widths = tuple(widths)
        if not self.widths or any(not isinstance(width, int) or width < 1 for width in self.widths):
            raise ValueError(f"widths must be one or more numbers of filters, got {self.widths!r}.")
        if not isinstance(pool, int) or pool < 1:
            raise ValueError(f"pool must be a whole number of at least 1, got {pool!r}.")
        self.pool = pool

    def choose(self, chain):
        """Returns the names of the exits that `always` does not name."""
        names = chain.exit_names
        if not names:
            raise ValueError(
                "ExitGates needs a chain with exits, got one without; give Chain some, exits=[Exit(...), ...]."
            )
        for name in self.always:
            if name not in names:
                raise ValueError(
                    f"always names exit {name!r}, which is not there{did_you_mean(name, names)}; exits are {names}."
                )
        return [name for name in names if name not in self.always]

    def prepare(self, chain):
        """Makes a gate per decided exit and builds it for what the exit reads."""
        for step in chain.steps():
            if step.exit is not None and step.exit.name in self.names:
                name, spec = step.exit.name, step.exit.read(chain.output_of(step.place))
                self._check_size(name, spec)
                self.gates[name] = self._gate(name, len(spec.shape))
                self.gates[name](spec)
                self._binding.nodes[name] = tree(self.gates[name], spec)
                self._binding.exits[name] = step.exit

    def _check_size(self, name, spec):
        if len(getattr(spec, "shape", ())) not in _CONVOLUTIONS:
            shapes = keras.tree.map_structure(lambda each: tuple(each.shape), spec)
            raise ValueError(
                f"the gate of exit {name!r} reads a feature map or a sequence, but the exit reads {shapes}; give "
                "the exit a leaf, or leave it to another decider."
            )
        side = min(spec.shape[1:-1])
        if side < self.pool:
            raise ValueError(
                f"exit {name!r} reads {tuple(spec.shape)}, and its gate pools {self.pool} steps of it each way; give "
                f"ExitGates at most pool={side}."
            )

    def _gate(self, name, rank):
        """Returns a new gate for inputs of this rank, not built yet."""
        convolution, pool = _CONVOLUTIONS[rank]
        parts = []
        for width in self.widths:
            parts += [
                convolution(width, 3, padding="same", use_bias=False, dtype="float32"),
                layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32"),
                layers.ReLU(dtype="float32"),
            ]
        start = keras.initializers.Constant(math.log(self.open_probability / (1.0 - self.open_probability)))
        parts += [
            pool(self.pool, dtype="float32"),
            layers.Flatten(dtype="float32"),
            layers.Dense(1, bias_initializer=start, dtype="float32"),
        ]
        return keras.Sequential(parts, name=f"{name}_gate")

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry

    def reads_logits(self, name):
        """Returns False: gates read the exit's input."""
        return False

    def decide_exit(self, name, logits, x, carry, training=None):
        """Samples in training, compares with tau otherwise; 1 continues."""
        if name not in self.gates:
            return {}, {}, carry
        leaf = self.gate_input(self._binding.exits[name].read(x), training)
        gate_logits = ops.reshape(self.gates[name](leaf, training=training), (-1,))
        decisions, probabilities = self.decided(gate_logits, lambda values: {name: values}, training)
        return decisions, probabilities, carry

    def exit_nodes(self, name):
        """Returns the gate's cost."""
        return [self._binding.nodes[name]] if name in self._binding.nodes and not self.idle else []
