"""A network that decides all units at once, from the image."""

import keras
from keras import ops

from keras_dynamic.cost import Node, output_spec, tree
from keras_dynamic.deciders.bernoulli_policy import BernoulliPolicy
from keras_dynamic.layers.logits_end import check_logits


@keras.saving.register_keras_serializable("keras_dynamic")
class Policy(BernoulliPolicy):
    """Policy network: one look at the image decides every unit.

        policy = kd.deciders.Policy(kd.models.policy_resnet(units=15))

    Args:
        network: Keras model or layer from the image [batch, height, width, channels] to one logit per decided unit,
            [batch, units], in the chain's order. It always runs, and its cost always counts.
        alpha: bound of the sampled probabilities, in (0.5, 1].
        always: names of units that always run and get no output of the network.
        seed: of the samples.
        tau: threshold on probabilities in inference, in [0, 1].
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if alpha is outside (0.5, 1], `always` names a unit that is not there, or, when it is bound, the
            network has another number of outputs than there are units to decide.

    Source: BlockDrop, section 3.2.
    """

    one_shot = True

    def __init__(self, network, alpha=0.8, always=(), seed=None, tau=0.5, **kwargs):
        super().__init__(alpha, always, seed, tau, **kwargs)
        self.network = network

    def prepare(self, chain):
        """Builds the network for the chain's images."""
        if not self.network.built:
            self.network.build(chain.image_spec.shape)
        spec = output_spec(self.network, chain.image_spec)
        units = len(self.names)
        if not isinstance(spec, keras.KerasTensor) or len(spec.shape) != 2 or spec.shape[-1] != units:
            shape = list(spec.shape) if isinstance(spec, keras.KerasTensor) else keras.tree.map_structure(str, spec)
            raise ValueError(
                f"policy network {self.network.name!r} must give one logit for each of the {units} units that it "
                f"decides, [batch, {units}], got {shape}; build it with {units} outputs."
            )
        check_logits(self.network, f"policy network {self.network.name!r}")
        self._binding.nodes["policy"] = tree(self.network, chain.image_spec, "policy")

    def begin(self, image, x, training=None):
        """Runs the network; the carry is (probabilities, decisions), each [batch, units]."""
        super().begin(image, x, training)
        logits = ops.cast(self.network(image, training=training), "float32")
        probabilities = ops.sigmoid(logits)
        if training:
            return probabilities, self.sample(probabilities, self.free)
        return probabilities, self.greedy(logits, self.free)

    def decide(self, k, x, carry, training=None):
        """Returns unit k's column of what begin found."""
        return self.columns_of(k, carry)

    def begin_nodes(self) -> list[Node]:
        """Returns the network's cost."""
        return [] if self.idle else [self._binding.nodes["policy"]]

    def get_config(self):
        """Returns the arguments, the network serialized."""
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the decider from get_config()."""
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})
