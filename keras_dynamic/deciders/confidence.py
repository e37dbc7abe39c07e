"""Run on while not certain."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.layers import Decider
from keras_dynamic.messages import near
from keras_dynamic.ops import MEASURES, check_classes, confidence


@keras.saving.register_keras_serializable("keras_dynamic")
class Confidence(Decider):
    """Goes on while the confidence of the logits so far is under a threshold; whoever stops stays stopped.

    Of a chain with exits it decides these: an image stops at the first exit that is confident. Of a cascade it decides
    the units, by the logits in their input. The thresholds are one non-trainable variable, float32 [decisions],
    infinite at first: everything runs.

    Args:
        measure: 'max_probability', 'entropy' (1 - entropy / ln classes) or 'margin' (difference of the two largest
            logits); all rise with certainty.
        leaf: key of the logits in the input of a cascade's units.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if the measure is none of the three, or, when it is bound, if an exit or the head has one logit.

    Source: Wisdom of Committees (arXiv 2012.01988); IMTA, section 3.1.
    """

    def __init__(self, measure="max_probability", leaf="logits", **kwargs):
        super().__init__(**kwargs)
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {sorted(MEASURES)}, got {measure!r}{near(measure, MEASURES)}.")
        self.measure, self.leaf = measure, leaf

    def choose(self, chain):
        """Returns the names of the exits, or of the units if there are none."""
        return chain.exit_names or chain.skippable_names

    def measure_of(self, name):
        """Returns its measure, for all its names."""
        return self.measure if name in self.names else None

    def prepare(self, chain):
        """Makes the thresholds."""
        for spec in chain.answer_specs:
            check_classes(spec.shape[-1], "Confidence")
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
        going = self._unsure(name, x[self.leaf])
        going = going if carry is None else ops.logical_and(carry, going)
        return {name: going}, {name: going}, going

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns confidence < threshold; the probability is the decision itself."""
        going = self._unsure(name, logits)
        return {name: going}, {name: going}, carry

    def _unsure(self, name, logits):
        return confidence(logits, self.measure) < self.thresholds[self.names.index(name)]

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "measure": self.measure, "leaf": self.leaf}


def _infinite(shape, dtype=None):
    return ops.full(shape, np.inf, dtype=dtype)
