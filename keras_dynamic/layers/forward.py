"""The forward pass of a chain, and the masked execution of its units."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic.layers.exits import head_logits
from keras_dynamic.layers.units import Decided, Unit
from keras_dynamic.ops import blend, scale_gradient


class Outcome(NamedTuple):
    """Answers, decisions and cost of one batch.

    Attributes:
        logits: float32 tensor, [batch, classes].
        exits: {exit name: float32 tensor [batch, classes]}.
        decisions: {decision name: float32 tensor of 0/1, [batch]}: 0 where what it is inside of does not run, after the
            exit at which an image stops, or in a unit that is skipped. In training with soft decisions, products.
        probabilities: {decision name: float32 tensor in [0, 1]}, shapes of the decisions.
        cost: float32 tensor, [batch]: MACs over the MACs of everything on, deciders included.
        conditional: {decision name: float32 tensor, [batch]}: each decision given that what it is inside of runs. Cost
            multiplies these.
    """

    logits: Any
    exits: dict[str, Any]
    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    cost: Any
    conditional: dict[str, Any] = {}  # noqa: RUF012  a default that nobody changes


class MaskedExecutor:
    """Everything is computed and decisions multiply it: training and inference on any backend.

    An executor is what Chain's one loop is run with. It asks the decider, and it carries the decision out.
    """

    def decide(self, decider, k, x, carry, training=None):
        """Returns decider.decide(k, x, carry, training)."""
        return decider.decide(k, x, carry, training=training)

    def run(self, unit, x, decision, training=None, **parts):
        """Runs or skips a unit.

        Args:
            unit: a Unit.
            x: nest of tensors, [batch, ...].
            decision: True, False, or a bool or float tensor [batch]. True and False compute one side alone.
            training: whether layers inside run in training mode.
            **parts: of a unit some of whose groups are decided, `groups`: for each of group_names True, False, or a
                bool or float tensor [batch]; of a unit with a dynamic network inside, `given` and `executor`.

        Returns:
            What unit.call returns.
        """
        if decision is False:
            parts.pop("groups", None)
            return unit.skip(x, training=training, **parts)
        if "groups" in parts:
            parts["groups"] = [ops.cast(group, "float32") for group in parts["groups"]]
        if decision is not True:
            parts["decision"] = ops.cast(decision, "float32")
        return unit(x, training=training, **parts)

    def decide_exit(self, decider, name, logits, x, carry, training=None):
        """Returns decider.decide_exit(name, logits, x, carry, training)."""
        return decider.decide_exit(name, logits, x, carry, training=training)

    def branch_at_exit(self, x, behind):
        """Returns (what an exit reads, what goes on): x twice.

        Args:
            x: nest of tensors, [batch, ...].
            behind: how many classifiers stand behind this exit.
        """
        return x, x

    def exit_logits(self, exit_, x, previous, training=None):
        """Returns the logits of an exit, float32 [batch, classes].

        Args:
            exit_: Exit.
            x: nest of tensors, [batch, ...].
            previous: logits of the exit before, [batch, classes]; None for the first.
            training: whether layers inside run in training mode.
        """
        return ops.cast(exit_(x, previous=previous, training=training), "float32")

    def run_rest(self, decision, rest, state):
        """Carries out the decision at an exit.

        Args:
            decision: bool or float tensor [batch]: go on, or stop.
            rest: function from a forward.PassState to the forward.Reached of all that lies behind.
            state: forward.PassState at the exit.

        Returns:
            Reached: logits of the exit for images that stop, whose later decisions are 0; all later exits' logits.
        """
        later = rest(state)
        logits = blend(ops.cast(decision, "float32"), later.logits, state.answered)
        return later._replace(logits=logits, decided=later.decided.within(decision))

    def inside(self, unit):
        """Returns the executor for the dynamic network inside a unit."""
        return self


masked = MaskedExecutor()


class GradientEquilibrium(MaskedExecutor):
    """Scales gradients where an exit branches off, so that each block gets the mean of the losses behind it.

    At exit i of k, of which the chain's head is the last, the exit's own gradient is scaled by 1 / (k - i + 1) and that
    of what lies behind by (k - i) / (k - i + 1): the gradient of exit j's loss reaches block i <= j as 1 / (k - i + 1)
    of the plain one. Values stay as they are. All leaves of x are scaled, thus every scale of an MSDNet; the authors'
    code scales the coarsest alone.

    Source: IMTA, section 3.1, equations 4 and 5.
    """

    def branch_at_exit(self, x, behind):
        """Returns (what an exit reads, what goes on), gradients scaled.

        Args:
            x: nest of tensors, [batch, ...].
            behind: how many classifiers stand behind this exit, k - i.
        """

        def scaled(factor):
            return keras.tree.map_structure(lambda leaf: scale_gradient(leaf, factor), x)

        return scaled(1.0 / (behind + 1)), scaled(behind / (behind + 1))


gradient_equilibrium = GradientEquilibrium()


class Reached(NamedTuple):
    """What the steps of a chain tell of a batch, or of what goes on behind an exit.

    Attributes:
        logits: as of Outcome.
        exits: as of Outcome.
        decided: Decided.
    """

    logits: Any
    exits: dict[str, Any]
    decided: Decided


class PassState(NamedTuple):
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


class ForwardPass(NamedTuple):
    """One run of a chain.

    Attributes:
        chain: Chain, built.
        decider: Decider, bound to it.
        given: {decision name: 0/1 tensor} that replace the decider's; None lets it decide.
        training: whether layers run in training mode.
        deciding: whether the decider runs in training mode.
        executor: the executor.
    """

    chain: Any
    decider: Any
    given: dict[str, Any] | None
    training: bool | None
    deciding: bool | None
    executor: Any

    def run(self, image) -> Reached:
        """Runs the chain on images, [batch, height, width, channels]."""
        x = self.chain.stem(image, training=self.training)
        carry = self.decider.begin(image, x, training=self.deciding) if self.given is None else ()
        reached = self._from(0, PassState(x, carry, None, {}))
        never = {name: ops.zeros_like(reached.logits[:, 0]) for name in self.decider.decision_names}
        return reached._replace(decided=Decided(never, never, never).merged(reached.decided))

    def _from(self, start, state) -> Reached:
        """Runs the steps from one on. What lies behind a decided exit is one piece, which the executor runs or not."""
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
                return _per_image(Reached(state.answered, exits, decided))
            if going is not True:
                later = self.executor.run_rest(going, lambda rest, then=position: self._from(then, rest), state)
                return _per_image(Reached(later.logits, exits | later.exits, decided.merged(later.decided)))
        logits = head_logits(self.chain.head, state.x, state.answered, self.training)
        return _per_image(Reached(ops.cast(logits, "float32"), exits, decided))

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
            taken, chances, carry = self.executor.decide(self.decider, step.place, x, carry, self.deciding)
            taken, chances = ({name: each[name] for name in each if name in new} for each in (taken, chances))
        obeyed = state.taken | taken
        decision = obeyed.get(whole, True)
        inside: dict[str, Any] = {}
        if any(name in obeyed for name in parts):
            inside["groups"] = [obeyed.get(name, True) for name in parts]  # those that nobody decides run
        if unit.nested:
            inside["given"] = None if self.given is None else _inside(unit.name, self.given)
            inside["executor"] = self.executor.inside(unit)
        x = self.executor.run(unit, x, decision, self.training, **inside)
        decided = Decided(taken, chances, taken).within(decision, [n for n in parts if n in self.decider.within])
        if unit.nested:
            x, nested = x
            decided = decided.merged(nested.prefixed(unit.name).within(decision))
        return state._replace(x=x, carry=carry, taken=obeyed), decided

    def _exit(self, step, state):
        """Answers at an exit and asks whether to go on. Returns as _unit does."""
        exit_, carry = step.exit, state.carry
        here, x = self.executor.branch_at_exit(state.x, step.behind)
        logits = self.executor.exit_logits(exit_, here, state.answered, self.training)
        if self.given is None:
            decided, chances, carry = self.executor.decide_exit(
                self.decider, exit_.name, logits, x, carry, self.deciding
            )
        else:
            decided = chances = {name: self.given[name] for name in (exit_.name,) if name in self.given}
        return state._replace(x=x, carry=carry, answered=logits), Decided(decided, chances, decided)


def _per_image(reached):
    """Returns decisions and probabilities as float32 [batch], those known while tracing too."""
    batch = ops.shape(reached.logits)[0]

    def spread(value):
        value = ops.cast(value, "float32")
        return ops.broadcast_to(value, (batch,)) if len(value.shape) == 0 else value

    return reached._replace(decided=keras.tree.map_structure(spread, reached.decided))


def _inside(name, decisions):
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in decisions.items() if key.startswith(prefix)}
