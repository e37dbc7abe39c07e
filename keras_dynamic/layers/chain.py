"""The chain: a stem, units that decisions run or skip, exits and a head."""

from typing import Any

import keras
from keras import ops

from keras_dynamic.cost import Guard, Node, expected, tree
from keras_dynamic.layers.outcome import Outcome
from keras_dynamic.layers.readings import masked
from keras_dynamic.layers.unit import Unit
from keras_dynamic.messages import near


@keras.saving.register_keras_serializable("keras_dynamic")
class Chain(keras.layers.Layer):
    """A network as a stem, a list of units and a head, with exits on the way.

    chain(image, decider) -> Outcome is the one loop that training, inference, export and cost share.

    Args:
        stem: Keras layer (or list of layers) from the image to the first unit's input, any nest of tensors.
        units: list of Unit; any other Keras layer is a unit that always runs. Names must be distinct.
        head: Keras layer (or list of layers) from the last unit's output to logits [batch, classes].
        exits: list of Exit.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if two units or two exits share a name, or an exit names a unit that is not there.
    """

    def __init__(self, stem, units, head, exits=(), **kwargs):
        super().__init__(**kwargs)
        self._allow_non_tensor_positional_args = True  # the decider is the second argument
        self.stem, self.units, self.head, self.exits = _layer(stem), list(units), _layer(head), list(exits)
        names = [unit.name for unit in self.units]
        for kind, used in (("units", names), ("exits", [exit_.name for exit_ in self.exits])):
            twice = sorted({name for name in used if used.count(name) > 1})
            if twice:
                raise ValueError(
                    f"{kind} must have distinct names, got {twice} more than once; give them name=... arguments."
                )
        for exit_ in self.exits:
            if exit_.after not in names:
                raise ValueError(
                    f"exit {exit_.name!r} is after unit {exit_.after!r}, which is not there{near(exit_.after, names)}."
                )
        self._walk = _Walk()

    @property
    def group_names(self):
        """Names of the decisions on groups of channels, in order, once the chain is built."""
        return [name for unit in self.units for name in getattr(unit, "group_names", ())]

    @property
    def skippable_names(self):
        """Names of the units that can be skipped, in order."""
        return [unit.name for unit in self.units if getattr(unit, "skippable", False)]

    def build(self, image_shape):
        """Builds every layer and notes the spec of each unit's input."""
        x = keras.KerasTensor(image_shape, dtype="float32")
        self._walk.image = x
        x = self.stem(x)
        for unit in self.units:
            self._walk.inputs.append(x)
            x = unit(x)[0] if getattr(unit, "nested", False) else unit(x)
            for exit_ in self._exits_after(unit):
                exit_(x)
        self._walk.output = x
        self.head(x)

    @property
    def input_specs(self):
        """Specs of each unit's input, once the chain is built."""
        return list(self._walk.inputs)

    @property
    def image_spec(self):
        """Spec of the image, once the chain is built."""
        return self._walk.image

    def call(self, image, decider, decisions=None, training=None, read=masked, deciding=None):
        """Runs the chain.

        Args:
            image: float or uint8 tensor, [batch, height, width, channels].
            decider: Decider, bound to this chain.
            decisions: {decision name: 0/1 tensor [batch] or [batch, groups]} that replace the decider's; None lets it
                decide.
            training: whether layers run in training mode.
            read: reading of units, see readings.Masked.
            deciding: whether the decider runs in training mode; as the layers do, by default.

        Returns:
            Outcome.
        """
        deciding = training if deciding is None else deciding
        x = self.stem(image, training=training)
        carry = decider.begin(image, x, training=deciding) if decisions is None else ()
        taken: dict[str, Any] = {}
        probabilities: dict[str, Any] = {}
        exits: dict[str, Any] = {}
        for index, unit in enumerate(self.units):
            if not isinstance(unit, Unit):
                x = unit(x, training=training) if unit._call_has_training_arg else unit(x)
                exits.update(self._answers(unit, x, training))
                continue
            whole, *parts = own = _decisions_of(unit, decider)
            if decisions is None and not any(name in taken for name in own):
                decided, chances, carry = read.decide(decider, index, x, carry, deciding)
            else:  # they are given, or were made before another unit that obeys them too
                told = (taken, probabilities) if decisions is None else (decisions, decisions)
                decided, chances = ({name: table[name] for name in own if name in table} for table in told)
            decision = decided.get(whole, True)
            groups = [decided.get(name, True) for name in parts]  # those that nobody decides run
            if any(name in decided for name in parts):
                x = read.run_groups(unit, x, groups, training)
            elif unit.nested:
                inner = None if decisions is None else _inside(unit.name, decisions)
                x, nested = read.run(unit, x, decision, training, given=inner, read=read.inside(unit))
                decided, chances = _with_nested(unit.name, decision, decided, chances, nested)
            else:
                x = read.run(unit, x, decision, training)
            taken.update(decided)
            probabilities.update(chances)
            exits.update(self._answers(unit, x, training))
        logits = ops.cast(self.head(x, training=training), "float32")
        batch = ops.shape(logits)[0]
        taken = {name: _per_image(value, batch) for name, value in taken.items()}
        probabilities = {name: _per_image(value, batch) for name, value in probabilities.items()}
        cost = ops.broadcast_to(expected(decider.tree, taken), (batch,))
        return Outcome(logits, exits, taken, probabilities, cost)

    def cost_node(self, decider) -> Node:
        """Returns the cost tree of the chain under a decider.

        Args:
            decider: Decider with names and nodes for this chain.

        Returns:
            Node: stem, decider, units, exits, head.
        """
        children = [tree(self.stem, self._walk.image, "stem")]
        children += decider.begin_nodes()
        for index, (unit, spec) in enumerate(zip(self.units, self._walk.inputs, strict=True)):
            children += decider.unit_nodes(index)
            node = unit.cost_node(spec, *_guards(unit, decider)) if isinstance(unit, Unit) else tree(unit, spec)
            children.append(node._replace(name=unit.name))
            children += [tree(exit_, self._output_of(index)) for exit_ in self._exits_after(unit)]
        children.append(tree(self.head, self._walk.output, "head"))
        return Node(self.name, children=tuple(children))

    def _output_of(self, index):
        return [*self._walk.inputs, self._walk.output][index + 1]

    def _exits_after(self, unit):
        return [exit_ for exit_ in self.exits if exit_.after == unit.name]

    def _answers(self, unit, x, training):
        """Returns {name: float32 logits} of the exits after a unit."""
        exits = self._exits_after(unit)
        return {exit_.name: ops.cast(exit_(x, training=training), "float32") for exit_ in exits}

    def get_config(self):
        """Returns the arguments, layers serialized."""
        pack = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "stem": pack(self.stem),
            "units": [pack(unit) for unit in self.units],
            "head": pack(self.head),
            "exits": [pack(exit_) for exit_ in self.exits],
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the chain from get_config()."""
        unpack = keras.saving.deserialize_keras_object
        config["stem"], config["head"] = unpack(config["stem"]), unpack(config["head"])
        config["units"] = [unpack(unit) for unit in config["units"]]
        config["exits"] = [unpack(exit_) for exit_ in config["exits"]]
        return cls(**config)


class _Walk:
    """Specs met while building; a plain object, so that Keras does not track it."""

    def __init__(self):
        self.image, self.inputs, self.output = None, [], None


def _layer(value):
    return keras.Sequential(list(value)) if isinstance(value, (list, tuple)) else value


def _decisions_of(unit, decider):
    """Returns the names of the decisions that a unit and its groups obey, whether anybody makes them or not."""
    return [decider.decision_of(name) for name in (unit.name, *unit.group_names)]


def _guards(unit, decider):
    """Returns the guards of a unit: its own, and those of its groups if the decider decides them."""
    names = _decisions_of(unit, decider)
    whole, *groups = (Guard(name) if name in decider.names else None for name in names)
    return (whole, tuple(groups)) if any(groups) else (whole,)


def _per_image(value, batch):
    value = ops.cast(value, "float32")
    return ops.broadcast_to(value, (batch,)) if len(value.shape) == 0 else value


def _inside(name, decisions):
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in decisions.items() if key.startswith(prefix)}


def _with_nested(name, decision, decided, chances, nested):
    """Adds a nested network's decisions as 'unit/decision'; they count only where the unit runs."""
    ran = ops.stop_gradient(ops.cast(decision, "float32"))
    inner = {f"{name}/{key}": ran * ops.cast(value, "float32") for key, value in nested.decisions.items()}
    inner_chances = {f"{name}/{key}": ran * ops.cast(value, "float32") for key, value in nested.probabilities.items()}
    return {**decided, **inner}, {**chances, **inner_chances}
