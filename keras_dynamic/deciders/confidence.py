"""Run on while not certain."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.layers import Decider
from keras_dynamic.messages import near
from keras_dynamic.ops import MEASURES, confidence


@keras.saving.register_keras_serializable("keras_dynamic")
class Confidence(Decider):
    """Runs the next unit while the confidence of the logits so far is under its threshold; whoever stops stays stopped.

    The thresholds are one non-trainable variable, float32 [decisions], infinite at first: everything runs.

    Args:
        measure: 'max_probability', 'entropy' (1 - entropy / ln classes) or 'margin' (difference of the two largest
            logits); all rise with certainty.
        leaf: key of the logits in the unit's input.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if the measure is none of the three.

    Source: Wisdom of Committees (arXiv 2012.01988); IMTA, section 3.1.
    """

    def __init__(self, measure="max_probability", leaf="logits", **kwargs):
        super().__init__(**kwargs)
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {sorted(MEASURES)}, got {measure!r}{near(measure, MEASURES)}.")
        self.measure, self.leaf = measure, leaf

    def prepare(self, chain):
        """Makes the thresholds."""
        self.thresholds = self.add_weight(
            shape=(len(self.names),), initializer=_infinite, trainable=False, name="thresholds", autocast=False
        )

    def set_thresholds(self, values):
        """Sets the thresholds.

        Args:
            values: one number per decision, in order.

        Raises:
            ValueError: if there are not as many values as decisions.
        """
        values = np.asarray(values, np.float32)
        if values.shape != (len(self.names),):
            raise ValueError(f"thresholds must be {len(self.names)} numbers, one per decision, got {values.tolist()}.")
        self.thresholds.assign(values)

    def begin(self, image, x, training=None):
        """Returns 'still going': nothing decided yet."""
        return None

    def decide(self, k, x, carry, training=None):
        """Returns carry and (confidence < threshold); the probability is the decision itself."""
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        going = confidence(x[self.leaf], self.measure) < self.thresholds[self.names.index(name)]
        going = going if carry is None else ops.logical_and(carry, going)
        return {name: going}, {name: going}, going

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "measure": self.measure, "leaf": self.leaf}


def _infinite(shape, dtype=None):
    return ops.full(shape, np.inf, dtype=dtype)
