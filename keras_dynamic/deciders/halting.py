"""Runs units until their halting scores add up to one."""

import keras

from keras_dynamic.layers import Decider
from keras_dynamic.layers.halting import LEFT, Halting


@keras.saving.register_keras_serializable("keras_dynamic")
class UntilHalted(Decider):
    """Runs the units of a stage while there is weight left for them; transform.add_halting makes such a chain.

    The probability of a decision is the weight that is left, in [0, 1]: it carries the gradient of what the number of
    units costs.

    Source: Figurnov et al. 2017 (arXiv 1612.02297), section 3.1.
    """

    def choose(self, chain):
        """Returns the units that may halt."""
        names = [unit.name for unit in chain.units if isinstance(unit, Halting)]
        if not names:
            raise ValueError("UntilHalted decides on units of layers.Halting, got none; take transform.add_halting.")
        return names

    def decide(self, k, x, carry, training=None):
        """Returns whether there is weight left."""
        name = self.unit_names[k]
        return ({name: x[LEFT] > 0}, {name: x[LEFT]}, carry) if name in self.names else ({}, {}, carry)
