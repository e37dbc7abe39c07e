"""Deciders that stop where the logits are certain, or agree several times in a row."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.layers import Decider
from keras_dynamic.layers.constant_variables import constant_value
from keras_dynamic.messages import is_count
from keras_dynamic.ops import both, check_confidence, confidence, confidence_name, predicted_class


@keras.saving.register_keras_serializable("keras_dynamic")
class Confidence(Decider):
    """Continues while the confidence of the logits so far is under a threshold; an image that stops stays stopped.

    Of a chain with exits it decides these: an image stops at the first exit that is confident. Of a cascade it decides
    the units, by the logits in their input. The thresholds are one non-trainable variable, float32 [decisions],
    infinite at first: everything runs.

    Args:
        confidence: 'max_probability', 'entropy' (1 - entropy / ln classes), 'margin' (difference of the two largest
            logits), 'label_probability' (of several labels that may apply together), or a function registered with
            Keras from logits [batch, ..., classes] to [batch], such as for a regression; all rise with certainty.
        leaf: key of the logits in the input of a cascade's units.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if the confidence is neither.

    Source: Wisdom of Committees (arXiv 2012.01988); IMTA, section 3.1.
    """

    def __init__(self, confidence="max_probability", leaf="logits", **kwargs):
        super().__init__(**kwargs)
        self.confidence, self.leaf = check_confidence(confidence), leaf

    def choose(self, chain):
        """Returns the names of the exits, or of the units if there are none."""
        return chain.exit_names or chain.skippable_names

    def confidence_of(self, name):
        """Returns its confidence, for all its names."""
        return confidence_name(self.confidence) if name in self.names else None

    def constant(self, name):
        """Returns the value that constant thresholds imply; at an exit, for the images that reach it."""
        names = self.names[: self.names.index(name) + 1]
        follows = [self._follows(each) for each in (names if self._stays_stopped else names[-1:])]
        return False if False in follows else (None if None in follows else True)

    def _follows(self, name):
        """Returns True if all confidences are under a constant threshold, False if none is, else None."""
        thresholds = constant_value(self.thresholds)
        if thresholds is None:
            return None
        threshold = thresholds[self.names.index(name)]
        if threshold <= self.lowest:
            return False
        own = callable(self.confidence)
        return True if threshold == np.inf or (not own and self.confidence != "margin" and threshold > 1) else None

    @property
    def lowest(self) -> float:
        """The threshold under which no confidence is, so that every image stops."""
        return float(np.finfo(np.float32).min) if callable(self.confidence) else 0.0

    def prepare(self, chain):
        """Makes the thresholds."""
        self._stays_stopped = not chain.exit_names  # the chain itself ends where an image stops at an exit
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
        """Returns None: no decision has been made yet."""
        return None

    def decide(self, k, x, carry, training=None):
        """Returns carry and (confidence < threshold); the probability is the decision itself."""
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        going = self._unsure(name, x[self.leaf])
        going = going if carry is None else both(carry, going)
        return {name: going}, {name: going}, going

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns confidence < threshold; the probability is the decision itself."""
        going = self._unsure(name, logits)
        return {name: going}, {name: going}, carry

    def _unsure(self, name, logits):
        follows = self._follows(name)
        if follows is not None:
            return follows
        return confidence(logits, self.confidence) < self.thresholds[self.names.index(name)]


def _infinite(shape, dtype=None):
    return ops.full(shape, np.inf, dtype=dtype)


@keras.saving.register_keras_serializable("keras_dynamic")
class Patience(Decider):
    """Stops at the first exit whose predicted class has been the same for `patience` exits in a row, itself included.

    At exits before the `patience`-th every image continues, which is constant. Carry: the last predicted class and how
    many exits in a row have predicted it, each int32 [batch]; () before the first exit.

    Args:
        patience: number of exits, at least 2.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if patience is no whole number of at least 2, or, when it is bound, if the chain has fewer exits or
            several answers per image.

    Source: BERT Loses Patience (arXiv 2006.04152), whose patience counts the repetitions: one less than here.
    """

    def __init__(self, patience=2, **kwargs):
        super().__init__(**kwargs)
        if not is_count(patience, 2):
            raise ValueError(f"patience must be a whole number of exits, at least 2, got {patience!r}.")
        self.patience = patience

    def choose(self, chain):
        """Returns the names of the exits."""
        names = chain.exit_names
        if self.patience > len(names):
            raise ValueError(
                f"patience must be at most the {len(names)} exits of the chain, got {self.patience}: no image would "
                "ever stop; give the chain more exits, or lower it."
            )
        return names

    def prepare(self, chain):
        """Raises a ValueError unless each exit has one answer per image."""
        for spec in chain.logits_specs:
            if len(spec.shape) != 2:
                raise ValueError(
                    f"Patience compares one class per image, got logits {list(spec.shape)}; use Confidence."
                )

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns whether the class was predicted under `patience` times in a row; the probability is the decision."""
        predicted = ops.cast(logits[:, 0] > 0, "int32") if logits.shape[-1] == 1 else predicted_class(logits)
        times = ops.ones_like(predicted)
        if carry:
            last, before = carry
            times += before * ops.cast(predicted == last, "int32")
        going = times < self.patience if self.names.index(name) + 1 >= self.patience else True
        return {name: going}, {name: going}, (predicted, times)
