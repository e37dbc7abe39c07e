"""Several deciders over one chain."""

from typing import Any

import keras

from keras_dynamic.cost import Guard, Node
from keras_dynamic.layers import Decider


@keras.saving.register_keras_serializable("keras_dynamic")
class CombinedDecider(Decider):
    """Several deciders over one chain, each for what it decides: gates for the units and confidence for the exits, say.

        decider = kd.deciders.CombinedDecider([kd.deciders.PerUnitGates(), kd.deciders.Confidence()])
        model = kd.layers.DynamicModel(chain, decider)

    All are asked everywhere, in order, each with a carry of its own; no two may decide the same. One may decide units
    as wholes and another their groups of channels, which then count where the unit runs. It costs what they cost
    together; what decides nothing but a unit's groups costs, and in an exported file is computed, where the unit runs.

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
                "CombinedDecider([PerUnitGates(), "
                "Confidence()])."
            )
        self.deciders = list(given)

    def decision_of(self, name):
        """Returns what the decider says that decides it."""
        told = [(each, each.decision_of(name)) for each in self.deciders]
        return next((decision for each, decision in told if decision in each.names), name)

    def members(self):
        """Returns the members of all of them."""
        return [member for each in self.deciders for member in each.members()]

    @property
    def constants(self):
        """What each of them knows."""
        return {name: run for each in self.deciders for name, run in each.constants.items()}

    def constant(self, name):
        """Returns that of the decider that decides it."""
        return next((each.constant(name) for each in self.deciders if name in each.names), None)

    def choose(self, chain):
        """Returns the names of what all decide, in order of execution."""
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
        """Returns what all decide of unit k."""
        return _together(each.decide(k, x, own, training) for each, own in zip(self.deciders, carry, strict=True))

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns what all decide at an exit."""
        pairs = zip(self.deciders, carry, strict=True)
        return _together(each.decide_exit(name, logits, x, own, training) for each, own in pairs)

    def reads_answer(self, name):
        """Whether one of them does."""
        return any(each.reads_answer(name) for each in self.deciders)

    def confidence_of(self, name):
        """Returns that of the decider that decides it."""
        return next(each.confidence_of(name) for each in self.deciders if name in each.names)

    def begin_nodes(self):
        """Returns the cost of all."""
        return [node for each in self.deciders for node in each.begin_nodes()]

    def unit_nodes(self, k):
        """Returns the cost of all; of what decides nothing but the unit's groups, where the unit runs."""
        unit, found = self._binding.chain.units[k], []
        for each in self.deciders:
            nodes, own = each.unit_nodes(k), [name for name in each.decisions_of(unit) if name in each.names]
            if own and all(name in self.within for name in own):
                guard = Guard(self.within[own[0]])
                nodes = [Node(node.name, when=guard, children=(node,)) for node in nodes]
            found += nodes
        return found

    def exit_nodes(self, name):
        """Returns the cost of all."""
        return [node for each in self.deciders for node in each.exit_nodes(name)]


def _together(answers):
    """Returns the decisions, probabilities and carries of several answers as one."""
    decisions: dict[str, Any] = {}
    probabilities: dict[str, Any] = {}
    carries = []
    for decided, chances, carry in answers:
        decisions |= decided
        probabilities |= chances
        carries.append(carry)
    return decisions, probabilities, tuple(carries)
