"""The base class of deciders that compare a probability with a threshold in inference."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.layers import Decider
from keras_dynamic.layers.constant_variables import constant_value
from keras_dynamic.layers.decider import check_names
from keras_dynamic.messages import check_fraction
from keras_dynamic.ops import log_odds


class ThresholdDecider(Decider):
    """Runs a unit in inference if its probability is greater than tau.

    A subclass makes `tau` with `scalar`. What changes in the course of a training or afterwards is a non-trainable
    variable: saved with the model and seen by compiled graphs.

    Args:
        always: names of units that always run and are no decision.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if always is one name.
    """

    def __init__(self, always=(), **kwargs):
        super().__init__(**kwargs)
        if isinstance(always, str):
            raise ValueError(f"always must be a list of names of units, got {always!r}; give [{always!r}].")
        self.always = tuple(always)

    def scalar(self, name, value):
        """Makes and returns a variable that is a number.

        Args:
            name: of the variable.
            value: at first.
        """
        # Without autocast: decide runs inside the chain's call, in which mixed precision casts variables.
        start = keras.initializers.Constant(value)
        return self.add_weight(shape=(), initializer=start, trainable=False, name=name, dtype="float32", autocast=False)

    def choose(self, chain):
        """Returns the skippable units that `always` does not name."""
        check_names(self.always, chain, "always")
        return [name for name in chain.skippable_names if name not in self.always]

    def set_tau(self, tau):
        """Sets the threshold on probabilities.

        Args:
            tau: in [0, 1]; 0 runs all units, 1 none.

        Raises:
            ValueError: if tau is outside [0, 1].
        """
        self.tau.assign(np.float32(check_fraction("tau", tau)))

    def constant(self, name):
        """Returns constant decisions, and those that a constant tau of 0 or 1 implies."""
        known, tau = self.constants.get(name), constant_value(self.tau)
        return bool(tau <= 0) if known is None and tau is not None and not 0 < tau < 1 else known

    @property
    def idle(self) -> bool:
        """Whether every decision is constant, so that no layers are needed to make them."""
        return all(self.constant(name) is not None for name in self.names)

    def over_tau(self, logits):
        """Returns by how much logits exceed the log odds of tau: a unit runs where that is positive."""
        return logits - log_odds(self.tau)

    def exceed_tau(self, logits):
        """Returns where logits, the output of a dense layer, exceed the log odds of tau.

        Logits may be large where a network decides all units at once, and TensorFlow Lite Micro aborts where it
        compares int8 with a scale of 1 or more. In a file this ReLU6 is part of the dense layer and bounds the scale.
        """
        return ops.relu6(self.over_tau(logits)) > 0

    def inferred(self, name, decision, probability):
        """Returns whether the probability is greater than tau, or the constant decision."""
        if name in self.constants:
            return decision
        return ops.logical_or(ops.greater(probability, self.tau), ops.less_equal(self.tau, 0.0))

    def columns_of(self, k, carry):
        """Returns the result of decide for unit k, for a decider that has decided all units at once.

        Args:
            k: index of the unit in the chain.
            carry: (probabilities, decisions), each [batch, decided units].
        """
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        probabilities, decisions = carry
        column = self.names.index(name)
        return {name: decisions[:, column]}, {name: probabilities[:, column]}, carry

    def config_for(self, chain):
        """Returns the arguments of a decider of this type and these settings for a chain of fewer units."""
        return self.get_config()

    def fresh(self, chain):
        """Returns a decider of this type and these settings with weights of its own, not yet set, bound to a chain.

        Args:
            chain: built Chain.

        Raises:
            ValueError: if the new one would decide units that this one does not.
        """
        fewer = type(self).from_config(self.config_for(chain))
        fewer.bind(chain)
        unknown = [name for name in fewer.names if name not in self.names]
        if unknown:
            raise ValueError(
                f"decider {self.name!r} can be restricted to some of {list(self.names)}, the units that it decides, "
                f"got a chain with {unknown} too."
            )
        return fewer
