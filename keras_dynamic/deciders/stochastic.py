"""Gates that still sample in inference."""

import keras

from keras_dynamic.deciders.per_unit_gates import PerUnitGates
from keras_dynamic.layers import Decider
from keras_dynamic.ops import SeedGenerator, binary_gumbel


@keras.saving.register_keras_serializable("keras_dynamic")
class Stochastic(Decider):
    """Decides by sampling the gates of another decider; the layers run in inference mode.

    Args:
        gates: PerUnitGates, shared, not copied.
        seed: of the samples.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if gates is no PerUnitGates.

    Source: Herrmann et al., section 3.3.
    """

    def __init__(self, gates, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(gates, PerUnitGates):
            raise ValueError(f"Stochastic samples a PerUnitGates decider, got {type(gates).__name__}.")
        self.gates, self.seed = gates, seed
        self.seed_generator = SeedGenerator(seed)

    def decision_of(self, name):
        """Returns what the gates say."""
        return self.gates.decision_of(name)

    @property
    def known(self):
        """What the gates know."""
        return self.gates.known

    def choose(self, chain):
        """Returns the units that the gates decide."""
        return self.gates.choose(chain)

    def prepare(self, chain):
        """Binds the gates if they are not bound yet."""
        self.gates.bind(chain)

    def decide(self, k, x, carry, training=None):
        """Samples unit k's gate."""
        logits = self.gates.logits(k, x, training)
        if logits is None:
            return *self.gates.with_settled(k, {}, {}), carry
        drawn = binary_gumbel(logits, self.gates.temperature, seed=self.seed_generator) > 0.5
        decisions, chances = self.gates.by_name(k, drawn), self.gates.by_name(k, keras.ops.sigmoid(logits))
        return *self.gates.with_settled(k, decisions, chances), carry

    def unit_nodes(self, k):
        """Returns the gates' cost."""
        return self.gates.unit_nodes(k)

    def get_config(self):
        """Returns the arguments, the gates serialized."""
        return {**super().get_config(), "gates": keras.saving.serialize_keras_object(self.gates), "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the decider from get_config()."""
        return cls(**{**config, "gates": keras.saving.deserialize_keras_object(config["gates"])})
