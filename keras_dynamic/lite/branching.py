"""The branching reading: batch 1, one select per decision, for the exporter to outline."""

import keras

from keras_dynamic.lite.naming import decision_scope, unit_scope
from keras_dynamic.ops import select

# An operator that may rescale, so that the quantiser does not give both operands of a select one scale; it is removed
# or becomes QUANTIZE afterwards.
_TIE_BREAKER_SLOPE = 1.0 - 2.0**-23


class Branching:
    """Carries decisions out as selects between run and skip, and notes their conditions.

    Args:
        names: all decision names of the model, in order.

    Attributes:
        conditions: {decision name: bool tensor [1], or True or False}, filled while the graph is traced.
        units: names of the chain's units as they were met, likewise.
    """

    def __init__(self, names):
        self.names = list(names)
        self.conditions = {}
        self.units = []
        self._prefix = ""

    def decide(self, decider, k, x, carry, training=None):
        """Asks the decider under the name scope by which the outliner knows the decision."""
        import tensorflow as tf

        name = self._prefix + decider.unit_names[k]
        if name not in self.names:
            return decider.decide(k, x, carry, training=training)
        with tf.name_scope(decision_scope(self.names.index(name))):
            decided, chances, carry = decider.decide(k, x, carry, training=training)
        self.conditions[name] = decided[decider.unit_names[k]]
        return decided, chances, carry

    def run(self, unit, x, decision, training=None, **nested):
        """Returns combine(x, select(decision, branch(x), otherwise(x))), traced under the unit's name scope."""
        import tensorflow as tf

        if self._prefix:
            return self._run(unit, x, decision, training, **nested)
        self.units.append(unit.name)
        with tf.name_scope(unit_scope(len(self.units) - 1)):
            return self._run(unit, x, decision, training, **nested)

    def _run(self, unit, x, decision, training, **nested):
        if decision is False:
            return unit.skip(x, training=training, **nested)
        ran = unit.branch(x, training=training, **nested)
        run, inner = ran if unit.nested else (ran, None)
        if decision is not True:
            run = select(decision, run, _untied(unit.otherwise(x, training=training), x, run))
        y = unit.combine(x, run)
        return (y, inner) if unit.nested else y

    def inside(self, unit):
        """Returns the reading for the dynamic network inside a unit; it notes conditions in the same table."""
        inner = Branching(self.names)
        inner.conditions, inner._prefix = self.conditions, f"{self._prefix}{unit.name}/"
        return inner


def _untied(otherwise, x, run):
    """Gives leaves that hand the unit's input through an operator of their own, unless run hands it through too."""
    handed = {id(leaf) for leaf in keras.tree.flatten(x)}

    def untie(skip, taken):
        if skip is taken or id(skip) not in handed:
            return skip
        return keras.ops.leaky_relu(skip, negative_slope=_TIE_BREAKER_SLOPE)

    return keras.tree.map_structure(untie, otherwise, run)
