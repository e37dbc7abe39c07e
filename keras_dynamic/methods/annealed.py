"""Methods with a target that comes down in the course of a training."""

import numpy as np
from keras import ops

from keras_dynamic.methods.method import Method


class Annealed(Method):
    """A method with a target share, or one per decided unit, that callbacks.AnnealTarget brings down.

    The target in force is a non-trainable variable: saved with the model, seen by compiled graphs when it changes.
    """

    _floor = np.float32(0.0)

    def _add_target(self, name, final):
        """Makes and returns the variable; `final` is a share or a list of one per decided unit."""
        self._final = np.float32(final)
        self._target = self.add_weight(
            shape=self._final.shape,
            initializer=self._in_force,
            trainable=False,
            name=name,
            autocast=False,
            aggregation="mean",  # of replicas, where a method moves it within a step
        )
        return self._target

    def _in_force(self, shape=None, dtype="float32"):
        """Returns the target in force."""
        return ops.convert_to_tensor(np.maximum(self._final, self._floor), dtype)

    def _per_unit(self, target, expected, these):
        """Returns a target as it is, or of {unit name: share} the list in the decider's order.

        Args:
            target: share, or {unit name: share}.
            expected: what it should have been, for the error.
            these: what the decider's units are, for the error.
        """
        if not isinstance(target, dict):
            return target
        units = list(self.decider.names)
        if sorted(target) != sorted(units):
            raise ValueError(f"{expected}, got {list(target)}; {these} {units}.")
        return [target[name] for name in units]

    def set_target_floor(self, floor):
        """Sets the targets in force to the final ones, or to `floor` where that is higher; AnnealTarget calls this.

        Args:
            floor: share of units; of a model that is not built yet it is kept until it is.
        """
        self._floor = np.float32(min(floor, 1.0))
        if self.built:
            self._target.assign(self._in_force())
