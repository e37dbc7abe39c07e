"""Stop at the same answer several exits in a row."""

import keras
from keras import ops

from keras_dynamic.layers import Decider
from keras_dynamic.messages import is_count
from keras_dynamic.ops import check_classes, predicted_class


@keras.saving.register_keras_serializable("keras_dynamic")
class Patience(Decider):
    """Stops at the first exit whose answer has been the same for `patience` exits in a row, itself included.

    Behind the exits before the `patience`-th every image goes on, which is known while tracing. Carry: the last answer
    and how many exits in a row have given it, each int32 [batch]; () before the first exit.

    Args:
        patience: number of exits, at least 2.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if patience is no whole number of at least 2, or, when it is bound, if the chain has fewer exits or
            one logit.

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
        """Raises a ValueError if an exit has one logit, which is no class."""
        for spec in chain.answer_specs:
            check_classes(spec.shape[-1], "Patience")

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns whether the answer has been given less than `patience` times; the probability is the decision."""
        answer = predicted_class(logits)
        times = ops.ones_like(answer)
        if carry:
            last, before = carry
            times += before * ops.cast(answer == last, "int32")
        going = times < self.patience if self.names.index(name) + 1 >= self.patience else True
        return {name: going}, {name: going}, (answer, times)

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "patience": self.patience}
