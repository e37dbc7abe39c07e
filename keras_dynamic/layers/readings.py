"""Readings of a unit: how a decision is carried out. Masked is here; lite/ has the branching one."""

from keras import ops


class Masked:
    """Everything is computed and decisions multiply it: training and inference on any backend.

    A reading is what Chain's one loop is run with. It asks the decider, and it carries the decision out.
    """

    def decide(self, decider, k, x, carry, training=None):
        """Returns decider.decide(k, x, carry, training)."""
        return decider.decide(k, x, carry, training=training)

    def run(self, unit, x, decision, training=None, **nested):
        """Runs or skips a unit.

        Args:
            unit: a Unit.
            x: nest of tensors, [batch, ...].
            decision: True, False, or a bool or float tensor [batch]. True and False compute one side alone.
            training: whether layers inside run in training mode.
            **nested: handed to a unit with a dynamic network inside.

        Returns:
            What unit.call returns.
        """
        if decision is True:
            return unit(x, training=training, **nested)
        if decision is False:
            return unit.skip(x, training=training, **nested)
        return unit(x, decision=ops.cast(decision, "float32"), training=training, **nested)

    def run_groups(self, unit, x, groups, training=None):
        """Runs a unit with some groups of its channels.

        Args:
            unit: a Unit with group_names.
            x: nest of tensors, [batch, ...].
            groups: for each of group_names True, False, or a bool or float tensor [batch].
            training: whether layers inside run in training mode.

        Returns:
            What unit.call returns.
        """
        return unit(x, groups=[ops.cast(group, "float32") for group in groups], training=training)

    def inside(self, unit):
        """Returns the reading for the dynamic network inside a unit."""
        return self


masked = Masked()
