"""Several deciders over one chain."""

from typing import Any

import keras

from keras_dynamic.cost import Guard, Node
from keras_dynamic.layers import Decider


@keras.saving.register_keras_serializable("keras_dynamic")
class CombinedDecider(Decider):
    """Combines several deciders on one chain, e.g. gates for the units and confidence for the exits.

        decider = kd.deciders.CombinedDecider([kd.deciders.PerUnitGates(), kd.deciders.Confidence()])
        model = kd.layers.DynamicModel(chain, decider)

    All are called in order, each with its own carry; no two may make the same decision. One may decide whole units and
    another their groups of channels, whose decisions then count where the unit runs. Its cost is the sum of theirs; a
    decider of a unit's groups alone counts, and in an exported file is computed, only where the unit runs.

    Args:
        deciders: list of Decider.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if deciders is no list of at least one; or, when it is bound, if two of them decide the same.
    """

    def __init__(self, deciders, **kwargs):
        super().__init__(**kwargs)
        given = deciders if isinstance(deciders, (list, tuple)) else []
        if not given or any(not isinstance(each, Decider) for each in given):
            raise ValueError(
                f"CombinedDecider takes a list of one decider or more, got {deciders!r}; e.g. "
                "CombinedDecider([PerUnitGates(), Confidence()])."
            )
        self.deciders = list(given)

    def decision_of(self, name):
        """Returns the name given by the decider that makes the decision."""
        named = [(each, each.decision_of(name)) for each in self.deciders]
        return next((decision for each, decision in named if decision in each.names), name)

    def members(self):
        """Returns the members of all of them."""
        return [member for each in self.deciders for member in each.members()]

    @property
    def constants(self):
        """The constant decisions of all of them."""
        return {name: run for each in self.deciders for name, run in each.constants.items()}

    def constant(self, name):
        """Returns the value given by the decider that makes the decision."""
        return next((each.constant(name) for each in self.deciders if name in each.names), None)

    def choose(self, chain):
        """Returns the names of all decisions, in order of execution."""
        chosen = [each.choose(chain) for each in self.deciders]
        names = [name for own in chosen for name in own]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"one decider decides a unit or exit, got {twice} decided by several; leave them out of all but one, "
                "e.g. by `always`."
            )
        order = [each.decision_of(name) for name in chain.own_names for each in self.deciders]
        return sorted(names, key=order.index)

    def prepare(self, chain):
        """Binds all."""
        for each in self.deciders:
            each.bind(chain)

    def begin(self, image, x, training=None):
        """Returns the carries of all."""
        return tuple(each.begin(image, x, training=training) for each in self.deciders)

    def decide(self, k, x, carry, training=None):
        """Returns all decisions on unit k."""
        return _together(each.decide(k, x, own, training) for each, own in zip(self.deciders, carry, strict=True))

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns all decisions at an exit."""
        pairs = zip(self.deciders, carry, strict=True)
        return _together(each.decide_exit(name, logits, x, own, training) for each, own in pairs)

    def reads_logits(self, name):
        """Returns whether one of them does."""
        return any(each.reads_logits(name) for each in self.deciders)

    def inferred(self, name, decision, probability):
        """Returns the decision of the decider that makes it."""
        return next(each.inferred(name, decision, probability) for each in self.deciders if name in each.names)

    def confidence_of(self, name):
        """Returns the value given by the decider that makes the decision."""
        return next(each.confidence_of(name) for each in self.deciders if name in each.names)

    def begin_nodes(self):
        """Returns the cost of all."""
        return [node for each in self.deciders for node in each.begin_nodes()]

    def unit_nodes(self, k):
        """Returns the cost of all; of those that decide only the unit's groups, where the unit runs.

        Of two of one name the later has its decider's number, so that each part of a network has a name of its own.
        """
        unit = self._binding.chain.units[k]
        found: list[Node] = []
        for number, each in enumerate(self.deciders, 1):
            nodes, own = each.unit_nodes(k), [name for name in each.decisions_of(unit) if name in each.names]
            if own and all(name in self.within for name in own):
                guard = Guard(self.within[own[0]])
                nodes = [Node(node.name, when=guard, children=(node,)) for node in nodes]
            taken = {node.name for node in found}
            found += [node._replace(name=f"{node.name}{number}") if node.name in taken else node for node in nodes]
        return found

    def exit_nodes(self, name):
        """Returns the cost of all."""
        return [node for each in self.deciders for node in each.exit_nodes(name)]


def _together(results):
    """Returns the decisions, probabilities and carries of several deciders as one."""
    decisions: dict[str, Any] = {}
    probabilities: dict[str, Any] = {}
    carries = []
    for own, own_probabilities, carry in results:
        decisions |= own
        probabilities |= own_probabilities
        carries.append(carry)
    return decisions, probabilities, tuple(carries)
