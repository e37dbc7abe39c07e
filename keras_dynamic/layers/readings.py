"""Readings of a unit: how a decision is carried out. Masked is here; lite/ has the branching one."""

from keras import ops

from keras_dynamic.ops import blend


class Masked:
    """Everything is computed and decisions multiply it: training and inference on any backend.

    A reading is what Chain's one loop is run with. It asks the decider, and it carries the decision out.
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
                bool or float tensor [batch]; of a unit with a dynamic network inside, `given` and `read`.

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

    def fork(self, x, behind):
        """Returns (what an exit reads, what goes on): x twice.

        Args:
            x: nest of tensors, [batch, ...].
            behind: how many classifiers stand behind this exit.
        """
        return x, x

    def answer(self, exit_, x, previous, training=None):
        """Returns the logits of an exit, float32 [batch, classes].

        Args:
            exit_: Exit.
            x: nest of tensors, [batch, ...].
            previous: logits of the exit before, [batch, classes]; None for the first.
            training: whether layers inside run in training mode.
        """
        return ops.cast(exit_(x, previous=previous, training=training), "float32")

    def go_on(self, decision, rest, state):
        """Carries out the decision at an exit.

        Args:
            decision: bool or float tensor [batch]: go on, or stop.
            rest: function from a walk.State to the walk.Told of all that lies behind.
            state: walk.State at the exit.

        Returns:
            walk.Told: logits of the exit for images that stop, whose later decisions are 0; all later exits' logits.
        """
        later = rest(state)
        logits = blend(ops.cast(decision, "float32"), later.logits, state.answered)
        return later._replace(logits=logits, decided=later.decided.within(decision))

    def inside(self, unit):
        """Returns the reading for the dynamic network inside a unit."""
        return self


masked = Masked()
