"""The forward pass of a chain, and the masked execution of its units."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic import keras_hooks
from keras_dynamic.layers.exits import head_logits
from keras_dynamic.layers.units import Decided, Unit
from keras_dynamic.ops import blend, scale_gradient


class Outcome(NamedTuple):
    """The result of a forward pass: logits, decisions and cost of one batch.

    Attributes:
        logits: float32 tensor, [batch, classes].
        exits: {exit name: float32 tensor [batch, classes]}.
        decisions: {decision name: float32 tensor of 0/1, [batch]}: 0 where the part that contains it is skipped, after
            the exit at which an image stops or in a unit that is skipped. Soft decisions, in training, are multiplied.
        probabilities: {decision name: float32 tensor in [0, 1]}, shapes of the decisions.
        cost: float32 tensor, [batch]: MACs over the MACs of everything on, deciders included.
        conditional: {decision name: float32 tensor, [batch]}: each decision under the condition that the part that
            contains it runs. The cost multiplies these.
        inferred: {decision name: float32 tensor, [batch]}: in training, the decision that inference would make of the
            same probabilities, see Decider.inferred, 0 where it would skip the part that contains it; else {}.
        inferred_conditional: likewise, under the condition that inference would run the part.
    """

    logits: Any
    exits: dict[str, Any]
    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    cost: Any
    conditional: dict[str, Any] = {}  # noqa: RUF012  never changed in place
    inferred: dict[str, Any] = {}  # noqa: RUF012
    inferred_conditional: dict[str, Any] = {}  # noqa: RUF012


class MaskedExecutor:
    """Computes everything and multiplies by the decisions: for training, and for inference on any backend.

    An executor calls the decider and runs or skips units accordingly; Chain.call takes it as an argument.
    """

    def decide(self, decider, k, x, carry, training=None):
        """Returns decider.decide(k, x, carry, training)."""
        return decider.decide(k, x, carry, training=training)

    def run(self, unit, x, decision, training=None, **parts):
        """Runs or skips a unit, and returns what unit.call returns.

        Args:
            unit: a Unit.
            x: nest of tensors, [batch, ...].
            decision: True, False, or a bool or float tensor [batch]. For True and False only one side is computed.
            training: whether layers inside run in training mode.
            **parts: for a unit with decisions on its groups, `groups`: for each of group_names True, False, or a bool
                or float tensor [batch]; for a unit with a dynamic network inside, `given` and `executor`.
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

    def branch_at_exit(self, x, later):
        """Returns (the exit's input, the next unit's input): x twice.

        Args:
            x: nest of tensors, [batch, ...].
            later: number of classifiers after this exit.
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
        """Runs or skips what comes after an exit.

        Args:
            decision: bool or float tensor [batch]: 1 continues, 0 stops.
            rest: function from a PassState to the PassResult of everything after the exit.
            state: PassState at the exit.

        Returns:
            PassResult: for images that stop, the exit's logits and 0 for later decisions; all later exits' logits.
        """
        later = rest(state)
        logits = blend(ops.cast(decision, "float32"), later.logits, state.logits)
        return later._replace(logits=logits, decided=later.decided.within(decision))

    def inside(self, unit):
        """Returns the executor for the dynamic network inside a unit."""
        return self


masked = MaskedExecutor()


class GradientEquilibrium(MaskedExecutor):
    """Scales gradients where an exit branches off, so that each block gets the mean of the losses after it.

    At exit i of k, of which the chain's head is the last, the exit's own gradient is scaled by 1 / (k - i + 1) and that
    of the rest by (k - i) / (k - i + 1): the gradient of exit j's loss reaches block i <= j as 1 / (k - i + 1)
    of the plain one. Values stay as they are. All leaves of x are scaled, thus every scale of an MSDNet; the authors'
    code scales the coarsest alone.

    Source: IMTA, section 3.1, equations 4 and 5.
    """

    def branch_at_exit(self, x, later):
        """Returns (the exit's input, the next unit's input), with scaled gradients.

        Args:
            x: nest of tensors, [batch, ...].
            later: number of classifiers after this exit, k - i.
        """

        def scaled(factor):
            return keras.tree.map_structure(lambda leaf: scale_gradient(leaf, factor), x)

        return scaled(1.0 / (later + 1)), scaled(later / (later + 1))


gradient_equilibrium = GradientEquilibrium()


class PassResult(NamedTuple):
    """An Outcome without its cost: of a whole chain, or of the part after an exit.

    Attributes:
        logits: as of Outcome.
        exits: as of Outcome.
        decided: Decided.
    """

    logits: Any
    exits: dict[str, Any]
    decided: Decided


class PassState(NamedTuple):
    """What one step passes to the next: any nest, each tensor [batch, ...].

    Attributes:
        x: nest of tensors that units read.
        carry: the decider's.
        logits: of the last exit, None before the first.
        decisions: {decision name: value} made so far, as conditional; they may apply to later units too.
        inferred: likewise those that inference would make, in training.
    """

    x: Any
    carry: Any
    logits: Any
    decisions: dict[str, Any]
    inferred: dict[str, Any]


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

    def run(self, image) -> PassResult:
        """Runs the chain on images, [batch, height, width, channels]."""
        x = self.chain.stem(image, training=self.training)
        carry = self.decider.begin(image, x, training=self.deciding) if self.given is None else ()
        result = self._from(0, PassState(x, carry, None, {}, {}))
        batch = ops.shape(result.logits)[0]
        never = {name: ops.zeros((batch,), result.logits.dtype) for name in self.decider.decision_names}
        inferred = never if self._infers else {}
        return result._replace(decided=Decided(never, never, never, inferred, inferred).merged(result.decided))

    @property
    def _infers(self):
        """Whether the decider decides, and otherwise than in inference."""
        return bool(self.deciding) and self.given is None

    def _decided(self, made, probabilities):
        """Returns the Decided of decisions just made."""
        inferred = {}
        if self._infers:
            inferred = {name: self.decider.inferred(name, made[name], probabilities[name]) for name in made}
        return Decided(made, probabilities, made, inferred, inferred)

    def _as_here(self, nested):
        """Returns the Decided of a network inside a unit with inferred decisions, or without, as this pass has them."""
        if not self._infers:
            return nested._replace(inferred={}, inferred_conditional={})
        if nested.inferred:
            return nested
        return nested._replace(inferred=nested.decisions, inferred_conditional=nested.conditional)

    def _from(self, start, state) -> PassResult:
        """Runs the steps from `start`. After an exit with a decision, the executor runs or skips all the rest."""
        exits: dict[str, Any] = {}
        decided = Decided({}, {}, {})
        for position, step in enumerate(self.chain.steps()[start:], start + 1):
            state, here = self._unit(step, state) if step.exit is None else self._exit(step, state)
            decided = decided.merged(here)
            if step.exit is None:
                continue
            exits[step.exit.name] = state.logits
            decision = here.conditional.get(step.exit.name, True)
            if decision is False:
                return _per_image(PassResult(state.logits, exits, decided))
            if decision is not True:
                later = self.executor.run_rest(decision, lambda rest, then=position: self._from(then, rest), state)
                after = later.decided.inferred_within(here.inferred.get(step.exit.name, decision))
                return _per_image(PassResult(later.logits, exits | later.exits, decided.merged(after)))
        logits = head_logits(self.chain.head, state.x, state.logits, self.training)
        return _per_image(PassResult(ops.cast(logits, "float32"), exits, decided))

    def _unit(self, step, state):
        """Runs or skips a unit. Returns the new state and the Decided of the unit."""
        unit, x, carry = step.unit, state.x, state.carry
        if not isinstance(unit, Unit):
            x = unit(x, training=self.training) if keras_hooks.takes_training(unit) else unit(x)
            return state._replace(x=x), Decided({}, {}, {})
        whole, *parts = own = self.decider.decisions_of(unit)
        new = [name for name in own if name not in state.decisions]
        if self.given is not None:
            made = probabilities = {name: self.given[name] for name in new if name in self.given}
        elif len(new) < len(own) and not any(name in self.decider.names for name in new):
            made = probabilities = {}  # all of them were made before earlier units
        else:
            *both, carry = self.executor.decide(self.decider, step.place, x, carry, self.deciding)
            made, probabilities = ({name: each[name] for name in each if name in new} for each in both)
        decided = self._decided(made, probabilities)
        decisions, inferred = state.decisions | made, state.inferred | decided.inferred
        decision = decisions.get(whole, True)
        would_run = inferred.get(whole, decision)
        inside: dict[str, Any] = {}
        if any(name in decisions for name in parts):
            inside["groups"] = [decisions.get(name, True) for name in parts]  # groups without a decision run
        if unit.nested:
            inside["given"] = None if self.given is None else _inside(unit.name, self.given)
            inside["executor"] = self.executor.inside(unit)
        x = self.executor.run(unit, x, decision, self.training, **inside)
        groups = [name for name in parts if name in self.decider.within]
        decided = decided.within(decision, groups).inferred_within(would_run, groups)
        if unit.nested:
            x, nested = x
            nested = self._as_here(nested).prefixed(unit.name)
            decided = decided.merged(nested.within(decision).inferred_within(would_run))
        return state._replace(x=x, carry=carry, decisions=decisions, inferred=inferred), decided

    def _exit(self, step, state):
        """Computes an exit's logits and the decision to continue. Returns what _unit returns."""
        exit_, carry = step.exit, state.carry
        here, x = self.executor.branch_at_exit(state.x, step.later)
        logits = self.executor.exit_logits(exit_, here, state.logits, self.training)
        if self.given is None:
            made, probabilities, carry = self.executor.decide_exit(
                self.decider, exit_.name, logits, x, carry, self.deciding
            )
        else:
            made = probabilities = {name: self.given[name] for name in (exit_.name,) if name in self.given}
        return state._replace(x=x, carry=carry, logits=logits), self._decided(made, probabilities)


def _per_image(result):
    """Returns decisions and probabilities as float32 [batch], constant ones too."""
    batch = ops.shape(result.logits)[0]

    def spread(value):
        value = ops.cast(value, "float32")
        return ops.broadcast_to(value, (batch,)) if len(value.shape) == 0 else value

    return result._replace(decided=keras.tree.map_structure(spread, result.decided))


def _inside(name, decisions):
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in decisions.items() if key.startswith(prefix)}
