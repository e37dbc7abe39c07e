"""What deciders with gates share: samples in training, a threshold in inference."""

import keras
from keras import ops

from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.messages import check_fraction, check_number, check_open_probability
from keras_dynamic.ops import SeedGenerator, binary_gumbel, scale_gradient


class GumbelGates(ThresholdDecider):
    """Gates that are sampled with the Gumbel trick in training and compared with tau in inference.

    temperature and tau are non-trainable variables: saved with the model and seen by compiled graphs when they change.

    Args:
        open_probability: of an untrained gate, in (0, 1).
        temperature: of the Gumbel sample, positive.
        hard: True for straight-through 0/1 samples in training, False for soft ones.
        tau: a unit runs in inference, or an image goes on behind an exit, if its probability is greater than tau, in
            [0, 1]; 0 always runs, 1 never.
        seed: of the samples.
        noise: False compares with one half in training too, with the gradient of the soft sample: nothing is skipped at
            random while the chain is still learning to do without, which short trainings cannot mend.
        gradient_scale: multiplies the gradients of the gates' weights: with SGD a learning rate of their own, this many
            times the chain's; what flows through gates into the chain stays as without. At 0 nothing flows through them
            and no loss moves gates, but weight decay and batch norm still do.
        detached: True hands no gradient through the gates to what they read: an activation loss then moves gates alone.
        **kwargs: of ThresholdDecider (always) and keras.layers.Layer.

    Raises:
        ValueError: if tau or open_probability is out of range, the temperature is not positive, or gradient_scale is no
            number of at least 0.

    Source: Herrmann et al., sections 3.2 and 3.3; AIG.
    """

    def __init__(
        self,
        open_probability=0.98,
        temperature=1.0,
        hard=True,
        tau=0.5,
        seed=None,
        noise=True,
        gradient_scale=1.0,
        detached=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.open_probability = check_open_probability(open_probability)
        self.hard, self.seed = hard, seed
        self.noise, self.detached = noise, detached
        self.gradient_scale = check_number("gradient_scale", gradient_scale)
        self.temperature = self.scalar("temperature", check_number("temperature", temperature, positive=True))
        self.tau = self.scalar("tau", check_fraction("tau", tau))
        self.seed_generator = SeedGenerator(seed)
        self.gates = {}

    def gate_input(self, x, training=None):
        """Returns what a gate reads, x, with the gradient that it hands back to the chain.

        Args:
            x: nest of tensors, [batch, ...].
            training: whether there will be a gradient.
        """
        factor = 0.0 if self.detached else 1.0 / (self.gradient_scale or 1.0)
        if factor == 1.0 or not training:
            return x
        return keras.tree.map_structure(lambda leaf: scale_gradient(leaf, factor), x)

    def decided(self, logits, by_name, training=None):
        """Samples in training, compares with tau otherwise.

        Args:
            logits: what a gate says, float tensor [batch] or [batch, groups].
            by_name: function from values of the logits' shape to {decision name: values [batch]}.
            training: whether to sample.

        Returns:
            (decisions, probabilities), each by name, as Decider.decide returns them.
        """
        if training:
            logits = scale_gradient(logits, self.gradient_scale)
            noise = None if self.noise else ops.zeros_like(logits)
            taken = by_name(binary_gumbel(logits, self.temperature, self.hard, noise, self.seed_generator))
        else:  # one comparison for each decision: the exporter knows a decision by it
            taken = {name: over > 0 for name, over in by_name(self.over_tau(logits)).items()}
        return taken, by_name(ops.sigmoid(logits))

    def get_config(self):
        """Returns the arguments; temperature and tau are those of now."""
        return {
            **super().get_config(),
            "open_probability": self.open_probability,
            "temperature": float(ops.convert_to_numpy(self.temperature)),
            "hard": self.hard,
            "seed": self.seed,
            "noise": self.noise,
            "gradient_scale": self.gradient_scale,
            "detached": self.detached,
        }
