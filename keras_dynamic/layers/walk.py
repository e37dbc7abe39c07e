"""The one loop: from an image through stem, units and exits to logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_dynamic.layers.exit import answer
from keras_dynamic.layers.unit import Unit


class Told(NamedTuple):
    """What the steps of a chain tell of a batch, or of what goes on behind an exit; attributes as of Outcome."""

    logits: Any
    exits: dict[str, Any]
    decisions: dict[str, Any]
    probabilities: dict[str, Any]


class State(NamedTuple):
    """What one step hands to the next: any nest, each tensor [batch, ...].

    Attributes:
        x: nest of tensors that units read.
        carry: the decider's.
        answered: logits of the last exit, None before the first.
        taken: {decision name: value} of the decisions taken before, which later units may obey too.
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
        return told._replace(decisions={**never, **told.decisions}, probabilities={**never, **told.probabilities})

    def _from(self, start, state) -> Told:
        """Runs the steps from one on. What lies behind a decided exit is one piece, which the reading runs or not."""
        exits: dict[str, Any] = {}
        decisions: dict[str, Any] = {}
        probabilities: dict[str, Any] = {}
        for position, step in enumerate(self.chain.steps()[start:], start + 1):
            state, decided, chances = self._unit(step, state) if step.exit is None else self._exit(step, state)
            decisions.update(decided)
            probabilities.update(chances)
            if step.exit is None:
                continue
            exits[step.exit.name] = state.answered
            going = decided.get(step.exit.name, True)
            if going is False:
                return _per_image(Told(state.answered, exits, decisions, probabilities))
            if going is not True:
                later = self.read.go_on(going, lambda rest, then=position: self._from(then, rest), state)
                return _per_image(
                    Told(
                        later.logits,
                        exits | later.exits,
                        decisions | later.decisions,
                        probabilities | later.probabilities,
                    )
                )
        logits = answer(self.chain.head, state.x, state.answered, self.training)
        return _per_image(Told(ops.cast(logits, "float32"), exits, decisions, probabilities))

    def _unit(self, step, state):
        """Runs a unit as is decided. Returns the new state, decisions and probabilities."""
        unit, x, carry = step.unit, state.x, state.carry
        if not isinstance(unit, Unit):
            x = unit(x, training=self.training) if unit._call_has_training_arg else unit(x)
            return state._replace(x=x), {}, {}
        whole, *parts = own = decisions_of(unit, self.decider)
        decided, chances = {}, {}
        if any(name in state.taken for name in own):
            obeyed = state.taken
        elif self.given is None:
            obeyed, chances, carry = self.read.decide(self.decider, step.place, x, carry, self.deciding)
            decided = obeyed
        else:
            obeyed = decided = chances = {name: self.given[name] for name in own if name in self.given}
        decision = obeyed.get(whole, True)
        groups = [obeyed.get(name, True) for name in parts]  # those that nobody decides run
        if any(name in obeyed for name in parts):
            x = self.read.run_groups(unit, x, groups, self.training)
        elif unit.nested:
            inner = None if self.given is None else _inside(unit.name, self.given)
            x, nested = self.read.run(unit, x, decision, self.training, given=inner, read=self.read.inside(unit))
            decided, chances = _with_nested(unit.name, decision, decided, chances, nested)
        else:
            x = self.read.run(unit, x, decision, self.training)
        return state._replace(x=x, carry=carry, taken=state.taken | decided), decided, chances

    def _exit(self, step, state):
        """Answers at an exit and asks whether to go on. Returns as _unit does."""
        exit_, carry = step.exit, state.carry
        here, x = self.read.fork(state.x, step.behind)
        logits = self.read.answer(exit_, here, state.answered, self.training)
        if self.given is None:
            decided, chances, carry = self.read.decide_exit(self.decider, exit_.name, logits, x, carry, self.deciding)
        else:
            decided = chances = {name: self.given[name] for name in (exit_.name,) if name in self.given}
        return state._replace(x=x, carry=carry, answered=logits), decided, chances


def decisions_of(unit, decider):
    """Returns the names of the decisions that a unit and its groups obey, whether anybody makes them or not."""
    return [decider.decision_of(name) for name in (unit.name, *unit.group_names)]


def _per_image(told):
    """Returns decisions and probabilities as float32 [batch], those known while tracing too."""
    batch = ops.shape(told.logits)[0]

    def spread(value):
        value = ops.cast(value, "float32")
        return ops.broadcast_to(value, (batch,)) if len(value.shape) == 0 else value

    decisions, probabilities = (
        {name: spread(value) for name, value in part.items()} for part in (told.decisions, told.probabilities)
    )
    return told._replace(decisions=decisions, probabilities=probabilities)


def _inside(name, decisions):
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in decisions.items() if key.startswith(prefix)}


def _with_nested(name, decision, decided, chances, nested):
    """Adds a nested network's decisions as 'unit/decision'; they count only where the unit runs."""
    ran = ops.stop_gradient(ops.cast(decision, "float32"))
    inner = {f"{name}/{key}": ran * ops.cast(value, "float32") for key, value in nested.decisions.items()}
    inner_chances = {f"{name}/{key}": ran * ops.cast(value, "float32") for key, value in nested.probabilities.items()}
    return {**decided, **inner}, {**chances, **inner_chances}
