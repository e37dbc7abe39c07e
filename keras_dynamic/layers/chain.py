"""The chain: a stem, units that decisions run or skip, exits and a head."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic import keras_hooks
from keras_dynamic.cost import Guard, Node, expected, tree
from keras_dynamic.layers.exits import head_logits, head_node
from keras_dynamic.layers.forward import ForwardPass, Outcome, masked
from keras_dynamic.layers.liveness import decided_exits, liveness_of
from keras_dynamic.layers.logits_end import check_logits
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.layers.units import Unit
from keras_dynamic.messages import did_you_mean


class Step(NamedTuple):
    """A unit of a chain, or an exit.

    Attributes:
        place: index of the unit, or of the unit after which the exit is attached.
        unit: Keras layer; None for an exit.
        exit: Exit; None for a unit.
        later: for an exit, the number of classifiers after it, the head included.
    """

    place: int
    unit: Any
    exit: Any
    later: int


@keras.saving.register_keras_serializable("keras_dynamic")
class Chain(SavedArguments):
    """A network as a stem, a list of units and a head, with exits on the way.

    chain(image, decider) -> Outcome is what training, inference and export share; the loop itself is in forward.py.

    Args:
        stem: Keras layer (or list of layers) from the image to the first unit's input, any nest of tensors.
        units: list of Unit; any other Keras layer is a unit that always runs. Names must be distinct.
        head: Keras layer (or list of layers) from the last unit's output to logits [batch, classes].
        exits: list of Exit.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if two units or exits share a name, one has a '[' in it, an exit names a unit that is not there, or
            the chain or an exit ends in a softmax or sigmoid.
    """

    def __init__(self, stem, units, head, exits=(), **kwargs):
        super().__init__(**kwargs)
        keras_hooks.allow_other_arguments(self)  # the decider is the second argument
        self.stem, self.units, self.head, self.exits = _layer(stem), list(units), _layer(head), list(exits)
        names = [unit.name for unit in self.units]
        exit_names = [exit_.name for exit_ in self.exits]
        for name in (*names, *exit_names):
            if "[" in name:
                raise ValueError(
                    f"units and exits must have names without '[', which is for their groups, got {name!r}."
                )
        both = sorted(set(names) & set(exit_names))
        if both:
            raise ValueError(f"units and exits must have distinct names, got {both} for both; rename the exits.")
        for kind, used in (("units", names), ("exits", exit_names)):
            twice = sorted({name for name in used if used.count(name) > 1})
            if twice:
                raise ValueError(
                    f"{kind} must have distinct names, got {twice} more than once; give them name=... arguments."
                )
        for exit_ in self.exits:
            if exit_.after not in names:
                raise ValueError(
                    f"exit {exit_.name!r} is after unit {exit_.after!r}, which is not there"
                    f"{did_you_mean(exit_.after, names)}."
                )
        check_logits([self.stem, *self.units, self.head], "a chain")
        for exit_ in self.exits:
            check_logits(exit_, f"exit {exit_.name!r}")
        self._specs = _Specs()

    def replace(self, **parts):
        """Returns a new chain, not built, with some of stem, units, head and exits replaced."""
        own = {"stem": self.stem, "units": self.units, "head": self.head, "exits": self.exits}
        return type(self)(**{**own, "name": self.name, "dtype": self.dtype_policy, **parts})

    def steps(self):
        """Returns units and exits in order of execution, a list of Step.

        No property: Keras saves the layers that it finds in lists.
        """
        found = []
        for index, unit in enumerate(self.units):
            found.append(Step(index, unit, None, 0))
            found += [Step(index, None, exit_, 0) for exit_ in self.exits if exit_.after == unit.name]
        count = len(self.exits)
        for position, step in enumerate(found):
            if step.exit is not None:
                found[position] = step._replace(later=count)
                count -= 1
        return found

    @property
    def group_names(self):
        """Names of the decisions on groups of channels, in order, once the chain is built."""
        return [name for unit in self.units for name in getattr(unit, "group_names", ())]

    @property
    def exit_names(self):
        """Names of the exits, in order of execution."""
        return [step.exit.name for step in self.steps() if step.exit is not None]

    @property
    def own_names(self):
        """Names of everything that a decision could apply to, in order: units, their groups, exits."""
        found = []
        for step in self.steps():
            found += [step.exit.name] if step.unit is None else [step.unit.name, *getattr(step.unit, "group_names", ())]
        return found

    @property
    def skippable_names(self):
        """Names of the units that can be skipped, in order."""
        return [unit.name for unit in self.units if getattr(unit, "skippable", False)]

    def build(self, image_shape):
        """Builds every layer and stores the spec of each unit's input."""
        if isinstance(image_shape, dict) or any(isinstance(size, (list, tuple)) for size in image_shape):
            raise several_inputs(len(image_shape))
        x = keras.KerasTensor(image_shape, dtype="float32")
        self._specs.image = x
        x, previous = self.stem(x), None
        for step in self.steps():
            if step.exit is not None:
                previous = self._specs.exit_logits[step.exit.name] = step.exit(x, previous=previous)
                continue
            self._specs.inputs.append(x)
            x = step.unit(x)[0] if getattr(step.unit, "nested", False) else step.unit(x)
        self._specs.output = x
        self._specs.logits = head_logits(self.head, x, previous)
        shape = tuple(self._specs.logits.shape)
        for name, logits in self._specs.exit_logits.items():
            if tuple(logits.shape)[:-1] != shape[:-1]:
                raise ValueError(
                    f"an exit answers as often as the head, whose logits are {list(shape)}, but exit {name!r} gives "
                    f"{list(logits.shape)}; give it another head."
                )

    @property
    def input_specs(self):
        """Specs of each unit's input, once the chain is built."""
        return list(self._specs.inputs)

    def output_of(self, index):
        """Returns the spec of the output of the unit with this index, once the chain is built."""
        return [*self._specs.inputs, self._specs.output][index + 1]

    @property
    def logits_specs(self):
        """Specs of the exits' logits, in order, and of the head's, once the chain is built."""
        return [*self._specs.exit_logits.values(), self._specs.logits]

    @property
    def image_spec(self):
        """Spec of the image, once the chain is built."""
        return self._specs.image

    def call(self, image, decider, decisions=None, training=None, executor=masked, deciding=None):
        """Runs the chain and returns its Outcome.

        Args:
            image: float or uint8 tensor, [batch, height, width, channels].
            decider: Decider, bound to this chain.
            decisions: {decision name: 0/1 tensor [batch]} that replace the decider's; None lets it decide.
            training: whether layers run in training mode.
            executor: executor of units, see MaskedExecutor.
            deciding: whether the decider runs in training mode; as the layers do, by default.
        """
        deciding = training if deciding is None else deciding
        result = ForwardPass(self, decider, decisions, training, deciding, executor).run(image)
        cost = expected(decider.tree, result.decided.conditional)
        cost = ops.broadcast_to(cost, (ops.shape(result.logits)[0],))
        return Outcome(result.logits, result.exits, cost=cost, **result.decided._asdict())

    def cost_node(self, decider) -> Node:
        """Returns the cost tree of the chain under a decider: stem, decider, units, exits, head."""
        nodes = [tree(self.stem, self._specs.image, "stem"), *_deciding(decider.begin_nodes())]
        guards = [Guard(name) for name in decided_exits(self, decider)]
        previous = None
        for step, needs in zip(self.steps(), liveness_of(self, decider), strict=True):
            passed = guards[: needs.exits]  # an image that stopped at one of them is not here
            if step.exit is not None:
                name, decided = step.exit.name, Guard(step.exit.name) in guards
                node = step.exit.cost_node(self.output_of(step.place), previous)
                if decided and not needs.read:
                    node = Node(name, children=(node._replace(when=Guard(name, on=False)),))  # for images that stop
                node = node._replace(exit=not decided and not needs.read)
                nodes += [_guarded(passed, each) for each in (node, *_deciding(decider.exit_nodes(name)))]
                previous = self._specs.exit_logits[name]
                continue
            spec = self._specs.inputs[step.place]
            nodes += [_guarded(passed, node) for node in _deciding(decider.unit_nodes(step.place))]
            if needs.leaves is None:
                nodes.append(_guarded(passed, _unit_node(step.unit, spec, decider)))
                continue
            parts = step.unit.leaf_parts(spec)
            each = (_guarded(guards[:count], parts[leaf].node) for leaf, count in needs.leaves.items())
            nodes.append(Node(step.unit.name, children=tuple(each)))
        head = head_node(self.head, self._specs.output, previous, "head")
        return Node(self.name, children=(*nodes, _guarded(guards, head)))


class _Specs:
    """Specs found while building, in a plain object, so that Keras does not track them."""

    def __init__(self):
        self.image, self.inputs, self.output, self.logits = None, [], None, None
        self.exit_logits = {}  # by exit name


def several_inputs(count) -> ValueError:
    """Returns the error for a chain that is given `count` inputs."""
    return ValueError(
        f"a chain takes one input, [batch, height, width, channels], got {count}; concatenate them, and split them in "
        "the stem."
    )


def _layer(value):
    return keras.Sequential(list(value)) if isinstance(value, (list, tuple)) else value


def _deciding(nodes):
    """Returns a decider's nodes, marked as such."""
    return [node._replace(decides=True) for node in nodes]


def _unit_node(unit, spec, decider):
    """Returns a unit's node under the guards of those decisions on it and its groups that the decider makes."""
    if not isinstance(unit, Unit):
        return tree(unit, spec)._replace(name=unit.name)
    whole, *groups = (Guard(name) if name in decider.names else None for name in decider.decisions_of(unit))
    return unit.cost_node(spec, whole, *([tuple(groups)] if any(groups) else []))._replace(name=unit.name)


def _guarded(guards, node):
    """Returns a node that runs only if all guards' decisions are 1."""
    for guard in reversed(guards):
        node = Node(node.name, when=guard, children=(node,), exit=node.exit, decides=node.decides)
    return node
