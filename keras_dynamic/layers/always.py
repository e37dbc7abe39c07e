"""The decider of the static network."""

import keras

from keras_dynamic.layers.decider import Decider


@keras.saving.register_keras_serializable("keras_dynamic")
class Always(Decider):
    """Runs every unit and decides nothing: the static network."""

    def choose(self, chain):
        """Returns no names."""
        return []

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry
