"""The unit: the piece of a chain that a decision runs or skips."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic.cost import Guard, Node
from keras_dynamic.ops import blend


class Decided(NamedTuple):
    """Decisions of a part of a network, {decision name: value} each.

    Attributes:
        decisions: 0 where the part that the decision is inside of is skipped.
        probabilities: of the decisions, likewise.
        conditional: the decisions given that the part runs, which cost multiplies.
    """

    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    conditional: dict[str, Any]

    def within(self, decision, names=None):
        """Returns these decisions as those of a part that runs if a decision, [batch] or a bool, is 1.

        Args:
            decision: of the part.
            names: of the decisions that are inside of it; all by default.
        """
        ran = ops.stop_gradient(ops.cast(decision, "float32"))

        def reached(values):
            inside = values if names is None else names
            return {
                name: ran * ops.cast(value, "float32") if name in inside else value for name, value in values.items()
            }

        return self._replace(decisions=reached(self.decisions), probabilities=reached(self.probabilities))

    def prefixed(self, prefix):
        """Returns these decisions as 'prefix/decision'."""
        return Decided(*({f"{prefix}/{name}": value for name, value in values.items()} for values in self))

    def merged(self, other):
        """Returns these decisions and others."""
        return Decided(*(own | more for own, more in zip(self, other, strict=True)))


class Unit(keras.layers.Layer):
    """combine(x, select(decision, branch(x), otherwise(x))).

    Subclasses write `branch` and `otherwise`, and `combine` and `masked` where the defaults do not fit. x is any nest
    of tensors [batch, ...]. A leaf that branch and otherwise hand through untouched is never selected.

    Attributes:
        skippable: False if there is nothing to run instead: such a unit always runs.
        group_names: names of the decisions that switch groups of its channels, once it is built; () if it has none.
        nested: True if branch takes (given, read) and returns (y, Decided), because a dynamic network is inside.
    """

    skippable = True

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the decisions on groups of its channels; () if it has none."""
        return ()

    @property
    def nested(self) -> bool:
        """Whether a dynamic network is inside."""
        return False

    def branch(self, x, training=None):
        """Returns what the unit gives if it runs; units with group_names take `groups`, see call, as well."""
        raise NotImplementedError(f"{type(self).__name__} must define branch(x, training).")

    def otherwise(self, x, training=None):
        """Returns what stands in for branch(x) if the unit is skipped: same structure, same shapes."""
        raise NotImplementedError(f"{type(self).__name__} must define otherwise(x, training).")

    def combine(self, x, y):
        """Joins the unit's input and what select took; y itself by default."""
        return y

    def masked(self, x, decision, training=None, groups=None):
        """Returns branch and otherwise blended by a float decision [batch]; both are computed. Groups: see call."""
        run = self.branch(x, training=training, **_some(groups))
        return blend(decision, run, self.otherwise(x, training=training))

    def joined(self, x, added, training=None):
        """Returns what the unit gives if its groups add up to `added`; for units with group_names."""
        raise NotImplementedError(f"{type(self).__name__} must define joined(x, added, training).")

    def call(self, x, decision=None, training=None, groups=None):
        """Runs the masked reading.

        Args:
            x: nest of tensors, [batch, ...].
            decision: float tensor [batch] in [0, 1]; None runs the unit for all images.
            training: whether layers inside run in training mode.
            groups: list of float tensors [batch] in [0, 1] or numbers, one for each of group_names; None runs them all.
                They count where the unit runs.

        Returns:
            Nest of tensors.
        """
        if decision is None:
            return self.combine(x, self.branch(x, training=training, **_some(groups)))
        return self.combine(x, self.masked(x, decision, training=training, **_some(groups)))

    def skip(self, x, training=None):
        """Returns what the unit gives if all images skip it."""
        return self.combine(x, self.otherwise(x, training=training))

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the unit's cost tree: what always runs, and under a guard what runs only if the decision says so.

        Args:
            x: spec of the input.
            guard: of the unit as a whole; None if it always runs.
            groups: guards of its groups, under that of the unit, one for each of group_names; () if they always run
                with the unit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define cost_node(x, guard, groups).")


def _some(groups):
    """Returns decisions on groups as an argument, which units without groups need not take."""
    return {} if groups is None else {"groups": groups}
