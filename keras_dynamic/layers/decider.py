"""The base class of deciders, and the decider of the static network."""

from collections import Counter
from typing import Any

import keras

from keras_dynamic.cost import Node
from keras_dynamic.layers.constant_variables import constant_trees
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import did_you_mean


class Decider(SavedArguments):
    """Decides for each image which units of a chain run, and at which exit the image stops.

    A chain calls begin(image, x) once, with the stem's output, decide(k, x, carry) before each unit, and
    decide_exit(name, logits, x, carry) at each exit, whether to continue or to stop there. A subclass writes `choose`,
    which returns the names of its decisions, `decide`, and perhaps `decide_exit`; `prepare` makes the layers it needs,
    and `begin_nodes`, `unit_nodes` and `exit_nodes` return its cost. If it decides in training otherwise than in
    inference, `inferred` returns what inference would decide, for the progress bar.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self._binding = _Binding()

    def bind(self, chain):
        """Fits the decider to a built chain; a DynamicModel does this when it is built.

        Args:
            chain: a built Chain.

        Raises:
            ValueError: if the decider already decides for another chain, or a unit holds a dynamic network that
                does not return its decisions.
        """
        if self.bound:
            if chain is not self._binding.chain:
                raise ValueError(
                    f"decider {self.name!r} already decides for another chain, with units {list(self.unit_names)}, and "
                    f"cannot decide for units {[unit.name for unit in chain.units]} too; make one decider per chain."
                )
            return
        self._binding.chain = chain
        self._binding.names = tuple(self.choose(chain))
        self._binding.units = tuple(unit.name for unit in chain.units)
        self._binding.within = self._find_within(chain)
        self.prepare(chain)
        tree = chain.cost_node(self)
        prefixes = [f"{unit.name}/" for unit in chain.units if getattr(unit, "nested", False)]
        for guard in tree.guards():
            if guard.decision not in self.names and not guard.decision.startswith(tuple(prefixes)):
                raise ValueError(
                    f"a part of the chain depends on decision {guard.decision!r}, which is not made; a dynamic "
                    "network inside a unit must be a network of models.cascade, given as it is."
                )
        self._binding.tree = tree
        self.built = True

    def _find_within(self, chain):
        uses = Counter(map(self.decision_of, chain.own_names))
        found: dict[str, str] = {}
        for whole, *groups in map(self.decisions_of, chain.units):
            found |= {name: whole for name in groups if whole in self.names and uses[name] == 1}
        return {name: found[name] for name in self.names if name in found}

    @property
    def bound(self):
        """Whether the decider has been fitted to a chain."""
        return self._binding.tree is not None

    @property
    def names(self):
        """Names of its decisions, in order: on units, groups of channels, exits."""
        return self._binding.names

    def confidence_of(self, name) -> str | None:
        """Returns the measure of confidence, one of ops.CONFIDENCES, that a decision compares with a threshold.

        None, the default, if it compares none. An image that is not under a threshold stops, and stays stopped.

        Args:
            name: one of names.
        """
        return None

    def members(self) -> list["Decider"]:
        """Returns the deciders that it consists of: itself, except for deciders.CombinedDecider.

        No property: Keras saves the layers that it finds in lists.
        """
        return [self]

    @property
    def within(self) -> dict[str, str]:
        """{decision on a group of channels: decision on its unit} where both are decided, once it is bound.

        The first then counts, and is computed in an exported file, only where the unit runs. A decision that applies to
        several units is within none.
        """
        return self._binding.within

    @property
    def constants(self) -> dict[str, bool]:
        """{decision name: whether it runs} of decisions that are the same for all images; none by default."""
        return {}

    def constant(self, name) -> bool | None:
        """Returns the value of a decision that is the same for all images, None if images change it.

        By default those of `constants`. A decider whose thresholds are variables may derive more where constant_value
        returns their values. It then decides True or False, and has no cost for what it does not need.

        Args:
            name: one of names.
        """
        return self.constants.get(name)

    @property
    def confidence_names(self) -> tuple[str, ...]:
        """Decisions that compare a confidence with a threshold, which an exported file may change."""
        return tuple(name for name in self.names if self.confidence_of(name) is not None)

    @property
    def unit_names(self):
        """Names of all units of its chain, in order."""
        return self._binding.units

    @property
    def decision_names(self):
        """Names of all decisions in execution order, those of networks inside units included."""
        found = dict.fromkeys(guard.decision for guard in self._bound_tree().guards())
        own = iter([name for name in self.names if name in found])  # in their own order, not that of costs
        return [next(own) if name in self.names else name for name in found]

    @property
    def tree(self) -> Node:
        """Cost tree of the chain under this decider, once it is bound; under the values of frozen variables."""
        tree, trees = self._bound_tree(), constant_trees()
        if trees is None:
            return tree
        if id(self) not in trees:
            chain: Any = self._binding.chain
            trees[id(self)] = chain.cost_node(self)
        return trees[id(self)]

    def _bound_tree(self) -> Node:
        if self._binding.tree is None:
            raise ValueError(f"decider {self.name!r} is not bound to a chain yet; build the model that it decides for.")
        return self._binding.tree

    def decision_of(self, name):
        """Returns the name of the decision that controls a unit or a group of its channels: its own by default.

        One decision may control several. It is made before the first of their units, where decide is called for it.

        Args:
            name: of a unit, or one of a unit's group_names.
        """
        return name

    def decisions_of(self, unit) -> list[str]:
        """Returns the names of the decisions on a unit and on its groups, in this order, made or not."""
        return [self.decision_of(name) for name in (unit.name, *getattr(unit, "group_names", ()))]

    def decisions_by_target(self, chain, runs) -> dict:
        """Returns {name of a unit, group or exit: value} of everything that these decisions control.

        Args:
            chain: built Chain.
            runs: {decision name: value}.
        """
        controlled = {name: self.decision_of(name) for name in chain.own_names}
        return {name: runs[decision] for name, decision in controlled.items() if decision in runs}

    def choose(self, chain):
        """Returns the names of its decisions: by default, of all units that can be skipped."""
        return chain.skippable_names

    def prepare(self, chain):
        """Makes and builds the layers it needs, given the built chain; nothing by default."""

    def begin(self, image, x, training=None):
        """Returns the carry that the first decide gets, any nest of tensors; () by default.

        Args:
            image: [batch, height, width, channels].
            x: the stem's output.
            training: whether its layers run in training mode.
        """
        return ()

    def decide(self, k, x, carry, training=None):
        """Decides unit k.

        Args:
            k: index of the unit in the chain.
            x: the unit's input, a nest of tensors [batch, ...].
            carry: what begin or the last decide returned.
            training: whether to sample as in training.

        Returns:
            (decisions, probabilities, carry): {} twice for a unit that always runs, else {unit name: value}: a
            decision is True, False, a bool tensor [batch], or in training a float tensor [batch] with a gradient; a
            probability is a float tensor [batch] or a number.
        """
        raise NotImplementedError(f"{type(self).__name__} must define decide(k, x, carry, training).")

    def decide_exit(self, name, logits, x, carry, training=None):
        """Decides whether images continue after an exit; by default all do.

        Args:
            name: of the exit.
            logits: of the exit, float32 [batch, classes].
            x: the nest of tensors that it read, [batch, ...].
            carry: what the last decision returned.
            training: whether to sample as in training.

        Returns:
            As decide does, the decision under the exit's name: True continues, False stops there.
        """
        return {}, {}, carry

    def inferred(self, name, decision, probability):
        """Returns the decision that inference would make of a probability; by default the one that was made.

        Args:
            name: one of names.
            decision: made in training mode: True, False, or a bool or float tensor [batch].
            probability: of the decision, float tensor [batch] or a number.

        Returns:
            True, False, or a bool or float tensor [batch].
        """
        return decision

    def reads_logits(self, name) -> bool:
        """Returns whether decide_exit reads the logits of an exit: by default, of exits with a decision.

        Logits that nothing reads are computed only for images that stop there, in the cost and in exported files.

        Args:
            name: of the exit.
        """
        return name in self.names

    def restricted_to(self, chain):
        """Returns a decider for a chain of fewer units that decides each of them as this one does.

        Args:
            chain: built Chain whose skippable units are some of those of this decider's chain.

        Returns:
            Decider of this type and these settings, with weights of its own, bound to the chain.

        Raises:
            ValueError: if units cannot be taken from this type of decider, as by default.
        """
        raise ValueError(
            f"a unit can be taken from a PerUnitGates or a BinaryMaskNetwork, got decider {self.name!r} of type "
            f"{type(self).__name__}; define restricted_to(chain) for it."
        )

    def begin_nodes(self) -> list[Node]:
        """Returns the cost of begin; none by default."""
        return []

    def unit_nodes(self, k) -> list[Node]:
        """Returns the cost of decide for unit k; none by default.

        In an exported file, what only decisions on the unit's groups need runs only where the unit does: if the unit
        has a decision as a whole too, use it as guard, Node(..., when=Guard(unit)), as deciders.CombinedDecider does.
        """
        return []

    def exit_nodes(self, name) -> list[Node]:
        """Returns the cost of decide_exit for an exit; none by default."""
        return []


class _Binding:
    """Data of a decider on its chain, in a plain object, so that Keras does not track it."""

    def __init__(self):
        self.names: tuple[str, ...] = ()
        self.units: tuple[str, ...] = ()
        self.within: dict[str, str] = {}
        self.chain: Any = None
        self.tree: Node | None = None
        self.pattern: dict[str, bool] = {}
        self.nodes: dict[str, Node] = {}
        self.exits: dict[str, keras.layers.Layer] = {}
        self.frozen: dict[str, dict[str, bool]] = {}


def check_names(names, chain, what, known=None):
    """Raises a ValueError if a name is not one of the units that can have a decision.

    Args:
        names: unit names.
        chain: Chain.
        what: the argument they came from, for the error.
        known: names of the units that can be decided; by default, those that can be skipped.
    """
    known = chain.skippable_names if known is None else known
    for name in names:
        if name not in known:
            there = name in [unit.name for unit in chain.units]
            wrong = "always runs as it is" if there else f"is not there{did_you_mean(name, known)}"
            raise ValueError(f"{what} names unit {name!r}, which {wrong}; units that can be decided are {known}.")


@keras.saving.register_keras_serializable("keras_dynamic")
class Always(Decider):
    """Runs every unit and makes no decision: the static network."""

    def choose(self, chain):
        """Returns no names."""
        return []

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry
