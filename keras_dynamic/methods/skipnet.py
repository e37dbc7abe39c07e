"""SkipNet: gates trained first by the loss alone, then by rewards for what they skip too (Wang et al. 2018)."""

import keras
from keras import ops

from keras_dynamic.deciders import RecurrentGates
from keras_dynamic.layers.forward import MaskedExecutor, masked
from keras_dynamic.messages import check_number, did_you_mean
from keras_dynamic.methods.method import Method
from keras_dynamic.ops import SeedGenerator, batch_losses, bernoulli_log_probability, mean_over_batch

STAGES = ("supervised", "hybrid")


@keras.saving.register_keras_serializable("keras_dynamic")
class SkipNet(Method):
    """A chain with gates that are trained first by the loss alone, then by rewards for skipping too.

        network = kd.zoo.load("resnet32_cifar10_45k")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = kd.methods.SkipNet(network.chain)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
        model.fit(x, y, epochs=10)

        tuned = kd.methods.SkipNet(model.chain, model.decider, stage="hybrid", alpha=0.5)
        tuned.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, metrics=["accuracy"])
        tuned.fit(x, y, epochs=10)

    In the supervised stage gates learn from the compiled loss, by the gradient that they have in training: those of
    RecurrentGates and PerUnitGates(noise=False) are rounded, with the gradient of their probability, as in the paper.
    In the hybrid stage decisions are drawn from the probabilities and have no gradient: the chain learns from the
    compiled loss on the path that was drawn, the gates from the reward of each decision, minus the loss of the image
    plus alpha times the share of the decided units that are skipped from this one on; groups of channels count as
    units. Exits that are decided, too, are left to their own decider.

    Args:
        chain: Chain; its weights should be trained before.
        decider: gates. None makes RecurrentGates; PerUnitGates are SkipNet's feed-forward ones.
        stage: 'supervised' or 'hybrid'.
        alpha: reward of skipping everything, in the unit of the loss.
        baseline: whether the mean reward of a decision over the batch's other images is taken off, which changes no
            expected gradient and makes it less noisy. False is the paper's.
        seed: of the draws.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, ...) and keras.Model.

    Raises:
        ValueError: if the stage is unknown or alpha is no number of at least 0; or, when it is built, if no unit is
            decided.

    Source: SkipNet (arXiv 1711.09485), sections 3.2 and 3.3, equations 2 to 5. There every unit's skipping is worth the
    same, as here.
    """

    compares_labels = True

    def __init__(self, chain, decider=None, stage="supervised", alpha=1.0, baseline=True, seed=None, **kwargs):
        super().__init__(chain, RecurrentGates() if decider is None else decider, **kwargs)
        if stage not in STAGES:
            raise ValueError(f"stage must be one of {STAGES}, got {stage!r}{did_you_mean(stage, STAGES)}.")
        self.stage, self.alpha, self.baseline = stage, check_number("alpha", alpha), bool(baseline)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)

    def executor(self, training):
        """Returns that of drawn decisions in the training of the hybrid stage."""
        return _Drawing(self.seed_generator) if training and self.stage == "hybrid" else masked

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the loss of the policy in the hybrid stage, and those of Method."""
        losses = super().outcome_losses(x, y, outcome, sample_weight)
        if self.stage == "hybrid":
            losses["policy"] = self._policy_loss(y, outcome, sample_weight)
        return losses

    def _policy_loss(self, y, outcome, sample_weight):
        """Returns the mean of -reward x log-probability, summed over decisions, a scalar tensor."""
        left_out = {*self.decider.constants, *self.chain.exit_names}
        names = [name for name in self.decider.names if name not in left_out]
        taken, ran, chances = (
            ops.stack([values[name] for name in names], axis=1)
            for values in (outcome.conditional, outcome.decisions, outcome.probabilities)
        )
        taken, ran = ops.stop_gradient(taken), ops.stop_gradient(ran)
        skipped = ops.flip(ops.cumsum(ops.flip(1.0 - ran, axis=1), axis=1), axis=1)  # from this one on
        loss = ops.reshape(batch_losses(y, outcome.logits, self.task), (-1, 1))
        reward = self.alpha / len(names) * skipped - loss
        if self.baseline:
            others = ops.cast(ops.maximum(ops.shape(reward)[0] - 1, 1), reward.dtype)
            reward = reward - (ops.sum(reward, axis=0, keepdims=True) - reward) / others
        within = self.decider.within  # a group's decision was made where its unit runs
        one = ops.ones_like(loss[:, 0])
        made = ops.stack([outcome.decisions[within[name]] if name in within else one for name in names], axis=1)
        each = bernoulli_log_probability(taken[..., None], chances[..., None])  # [batch, decisions]
        return -mean_over_batch(ops.sum(ops.stop_gradient(reward * made) * each, axis=1), sample_weight)


class _Drawing(MaskedExecutor):
    """Draws decisions from their probabilities, without gradient."""

    def __init__(self, seed):
        self.seed = seed

    def decide(self, decider, k, x, carry, training=None):
        """Returns what the decider does, with drawn decisions in place of its own, but for constant ones."""
        decisions, chances, carry = decider.decide(k, x, carry, training=training)
        drawn = {
            name: decision if isinstance(decision, bool) else self._draw(chances[name])
            for name, decision in decisions.items()
        }
        return drawn, chances, carry

    def _draw(self, chance):
        uniform = keras.random.uniform(ops.shape(chance), seed=self.seed)
        return ops.stop_gradient(ops.cast(uniform < chance, "float32"))
