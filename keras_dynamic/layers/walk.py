"""The one loop: from an image through stem, units and exits to logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic.layers.exit import answer
from keras_dynamic.layers.unit import Decided, Unit


class Told(NamedTuple):
    """What the steps of a chain tell of a batch, or of what goes on behind an exit.

    Attributes:
        logits: as of Outcome.
        exits: as of Outcome.
        decided: Decided.
    """

    logits: Any
    exits: dict[str, Any]
    decided: Decided


class State(NamedTuple):
    """What one step hands to the next: any nest, each tensor [batch, ...].

    Attributes:
        x: nest of tensors that units read.
        carry: the decider's.
        answered: logits of the last exit, None before the first.
        taken: {decision name: value} of the decisions taken before, as conditional, which later units may obey too.
    """

    x: Any
    carry: Any
    answered: Any
    taken: dict[str, Any]


class Walk(NamedTuple):
    """One run of a chain.

    Attributes:
        chain: Chain, built.
        decider: Decider, bound to it.
        given: {decision name: 0/1 tensor} that replace the decider's; None lets it decide.
        training: whether layers run in training mode.
        deciding: whether the decider runs in training mode.
        read: the reading.
    """

    chain: Any
    decider: Any
    given: dict[str, Any] | None
    training: bool | None
    deciding: bool | None
    read: Any

    def run(self, image) -> Told:
        """Runs the chain on images, [batch, height, width, channels]."""
        x = self.chain.stem(image, training=self.training)
        carry = self.decider.begin(image, x, training=self.deciding) if self.given is None else ()
        told = self._from(0, State(x, carry, None, {}))
        never = {name: ops.zeros_like(told.logits[:, 0]) for name in self.decider.decision_names}
        return told._replace(decided=Decided(never, never, never).merged(told.decided))

    def _from(self, start, state) -> Told:
        """Runs the steps from one on. What lies behind a decided exit is one piece, which the reading runs or not."""
        exits: dict[str, Any] = {}
        decided = Decided({}, {}, {})
        for position, step in enumerate(self.chain.steps()[start:], start + 1):
            state, here = self._unit(step, state) if step.exit is None else self._exit(step, state)
            decided = decided.merged(here)
            if step.exit is None:
                continue
            exits[step.exit.name] = state.answered
            going = here.conditional.get(step.exit.name, True)
            if going is False:
                return _per_image(Told(state.answered, exits, decided))
            if going is not True:
                later = self.read.go_on(going, lambda rest, then=position: self._from(then, rest), state)
                return _per_image(Told(later.logits, exits | later.exits, decided.merged(later.decided)))
        logits = answer(self.chain.head, state.x, state.answered, self.training)
        return _per_image(Told(ops.cast(logits, "float32"), exits, decided))

    def _unit(self, step, state):
        """Runs a unit as is decided. Returns the new state and what was decided."""
        unit, x, carry = step.unit, state.x, state.carry
        if not isinstance(unit, Unit):
            x = unit(x, training=self.training) if unit._call_has_training_arg else unit(x)
            return state._replace(x=x), Decided({}, {}, {})
        whole, *parts = own = self.decider.decisions_of(unit)
        new = [name for name in own if name not in state.taken]
        if self.given is not None:
            taken = chances = {name: self.given[name] for name in new if name in self.given}
        elif len(new) < len(own) and not any(name in self.decider.names for name in new):
            taken = chances = {}  # others were asked for all of them
        else:
            taken, chances, carry = self.read.decide(self.decider, step.place, x, carry, self.deciding)
            taken, chances = ({name: each[name] for name in each if name in new} for each in (taken, chances))
        obeyed = state.taken | taken
        decision = obeyed.get(whole, True)
        inside: dict[str, Any] = {}
        if any(name in obeyed for name in parts):
            inside["groups"] = [obeyed.get(name, True) for name in parts]  # those that nobody decides run
        if unit.nested:
            inside["given"] = None if self.given is None else _inside(unit.name, self.given)
            inside["read"] = self.read.inside(unit)
        x = self.read.run(unit, x, decision, self.training, **inside)
        decided = Decided(taken, chances, taken).within(decision, [n for n in parts if n in self.decider.within])
        if unit.nested:
            x, nested = x
            decided = decided.merged(nested.prefixed(unit.name).within(decision))
        return state._replace(x=x, carry=carry, taken=obeyed), decided

    def _exit(self, step, state):
        """Answers at an exit and asks whether to go on. Returns as _unit does."""
        exit_, carry = step.exit, state.carry
        here, x = self.read.fork(state.x, step.behind)
        logits = self.read.answer(exit_, here, state.answered, self.training)
        if self.given is None:
            decided, chances, carry = self.read.decide_exit(self.decider, exit_.name, logits, x, carry, self.deciding)
        else:
            decided = chances = {name: self.given[name] for name in (exit_.name,) if name in self.given}
        return state._replace(x=x, carry=carry, answered=logits), Decided(decided, chances, decided)


def _per_image(told):
    """Returns decisions and probabilities as float32 [batch], those known while tracing too."""
    batch = ops.shape(told.logits)[0]

    def spread(value):
        value = ops.cast(value, "float32")
        return ops.broadcast_to(value, (batch,)) if len(value.shape) == 0 else value

    return told._replace(decided=keras.tree.map_structure(spread, told.decided))


def _inside(name, decisions):
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in decisions.items() if key.startswith(prefix)}
