"""BlockDrop: a policy trained with REINFORCE chooses the units (Wu et al. 2018)."""

import warnings

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic import keras_hooks
from keras_dynamic.deciders import BernoulliPolicy, Policy
from keras_dynamic.layers import Outcome
from keras_dynamic.layers.dynamic_model import _step_of, as_chain
from keras_dynamic.losses import per_gate
from keras_dynamic.messages import check_number, did_you_mean
from keras_dynamic.methods.method import STRENGTHS, Annealed, check_usage, logged
from keras_dynamic.models import policy_resnet
from keras_dynamic.ops import (
    batch_share_right,
    bernoulli_entropy,
    bernoulli_log_probability,
    bounded,
    log_odds,
    penalty_for_usage,
    policy_gradient_loss,
    self_critical_advantage,
    usage_reward,
)

STAGES = ("curriculum", "finetuning")
BATCH_NORM = ("batch", "frozen")


@keras.saving.register_keras_serializable("keras_dynamic")
class BlockDrop(Annealed):
    """A chain whose units a policy runs or drops, trained by rewards for correct predictions with few units.

        network = kd.zoo.load("resnet32_cifar10_45k")
        model = kd.methods.BlockDrop(network.chain)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
        model.fit(x, y, epochs=30, callbacks=[kd.callbacks.Curriculum(epochs=1)])

        tuned = kd.methods.BlockDrop(model.chain, model.decider, stage="finetuning")
        tuned.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
        tuned.fit(x, y, epochs=10)

    In the curriculum the chain is frozen, batch norm included, and the policy alone is trained: the compiled loss is
    shown and has no gradient. In finetuning both are: the chain by the compiled loss on the sampled paths, the policy
    by policy_weight times its loss. Each step runs the chain twice, on sampled decisions and on those of inference (the
    most probable ones, unless the policy's tau is changed), whose reward is the baseline; the second run moves no
    statistics and has no gradient. A prediction is correct if the largest logit is that of the label, or of the
    largest of soft labels. `trainable` of the chain's layers is set whenever fit or a step begins.

    Args:
        chain: Chain; its weights should be trained before.
        policy: BernoulliPolicy, e.g. deciders.Policy or that of an earlier stage; None makes models.policy_resnet, for
            224-pixel images if the chain is built for them, else for 32.
        stage: 'curriculum' or 'finetuning'.
        gamma: penalty of a wrong prediction, positive; larger values run more units.
        usage: share of the decided units that is to run on average, in (0, 1], or with hold='units' also {unit name:
            share} with an entry for each; callbacks.AnnealTarget brings it down slowly. Units that a curriculum keeps
            closed count as 1. None leaves it to gamma.
        hold: how usage is held, neither of which the paper has. 'gamma': each step's penalty is gamma x
            exp(hold_strength x (usage - share of the most probable decisions)), and rewards are divided by 1 + penalty.
            'units': hold_strength x the mean over units of (usage - share of images that run it)^2 is added to the
            loss, straight through the most probable decisions to the probabilities, as in AIG: no unit can be closed
            for all images, so that a policy stays dynamic where the chain is trained too.
        hold_strength: of that; None takes 15 for 'gamma' and 50 for 'units'.
        policy_weight: of the policy's loss, the mean over images of minus advantage times log-probability; the compiled
            loss has weight 1. BlockDrop's code adds the policy's losses of all 256 images to the mean cross entropy:
            there this would be 256. The two losses train different weights, so this is a learning rate of the policy's
            own with SGD, and with Adam it counts beside the entropy and the holding of usage only.
        entropy_weight: of the policy's entropy (mean over images of the sum over units, nats), as a bonus.
        batch_norm: of the chain in finetuning: 'batch' normalises by the batch and moves the averages once per step,
            'frozen' keeps averages, scales and offsets as they are. The baseline's run takes the averages.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, distillation_temperature) and keras.Model.

    Raises:
        ValueError: if the policy is of another type, gamma is not positive, a weight is negative, stage, hold or
            batch_norm is unknown, or, when it is built, no unit can be decided, the policy shares weights with the
            chain, or this has one logit.

    Source: BlockDrop, sections 3.2 and 3.3.
    """

    compares_labels = True

    def __init__(
        self,
        chain,
        policy=None,
        stage="curriculum",
        gamma=5.0,
        usage=None,
        hold="gamma",
        hold_strength=None,
        policy_weight=1.0,
        entropy_weight=0.0,
        batch_norm="batch",
        **kwargs,
    ):
        chain = as_chain(chain)
        if policy is None:
            size = 224 if chain.built and chain.image_spec.shape[1] == 224 else 32
            policy = Policy(policy_resnet(max(len(chain.skippable_names), 1), size))
        if not isinstance(policy, BernoulliPolicy):
            raise ValueError(
                f"BlockDrop trains a BernoulliPolicy such as deciders.Policy, got {type(policy).__name__}; give the "
                "network that reads the image as Policy(network)."
            )
        super().__init__(chain, policy, **kwargs)
        check_number("gamma, the penalty of a wrong prediction,", gamma, positive=True)
        check_number("policy_weight", policy_weight)
        check_number("entropy_weight", entropy_weight)
        for name, value, known in (
            ("stage", stage, STAGES),
            ("hold", hold, tuple(STRENGTHS)),
            ("batch_norm", batch_norm, BATCH_NORM),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}, got {value!r}{did_you_mean(value, known)}.")
        self.stage, self.gamma, self.batch_norm = stage, float(gamma), batch_norm
        self.usage, self.hold = check_usage(usage, hold), hold
        self.hold_strength = STRENGTHS[hold] if hold_strength is None else hold_strength
        check_number("hold_strength", self.hold_strength, positive=True)
        self.policy_weight, self.entropy_weight = policy_weight, entropy_weight
        self._reward_tracker = keras.metrics.Mean(name="reward")
        self._set_trainable()

    def prepare(self, image_shape):
        """Builds chain and policy, and makes the variable of the usage in force."""
        super().prepare(image_shape)
        units = "usage must have one share for each unit that the policy decides"
        usage = 1.0 if self.usage is None else self._per_unit(self.usage, units, "these are")
        self.current_usage = self._add_target("current_usage", usage)

    def set_target_floor(self, floor):
        """Sets the usage in force to the final one, or to `floor` where that is higher; AnnealTarget calls this.

        Args:
            floor: share of units; of a model that is not built yet it is kept until it is.

        Raises:
            ValueError: if usage is left to gamma.
        """
        if self.usage is None:
            raise ValueError(f"model {self.name!r} has no usage to anneal; give it one, e.g. usage=0.6.")
        super().set_target_floor(floor)

    def over_target(self, logs, tolerance):
        """Returns whether the share of units that ran is over a usage for all."""
        usage = self.usage if isinstance(self.usage, float) else np.inf
        return logged(logs, "activation_rate") > usage + tolerance

    def _set_trainable(self):
        """Freezes of the chain what this stage does not train, layer by layer, as another model may have set them."""
        for layer in keras_hooks.all_layers(self.chain):
            frozen = self.batch_norm == "frozen" and isinstance(layer, layers.BatchNormalization)
            layer.trainable = self.stage == "finetuning" and not frozen

    def _layers_train(self, training):
        """Returns whether layers run in training mode: in the curriculum the chain runs as in inference."""
        return training and self.stage == "finetuning"

    def fit(self, *args, **kwargs):
        """Trains, as keras.Model.fit; warns if finetuning starts from an untrained policy."""
        if self.stage == "finetuning":
            if not int(ops.convert_to_numpy(self.decider.steps)):
                warnings.warn(
                    f"model {self.name!r} is finetuned with a policy that has not been trained, whose choices mean "
                    "nothing yet; train it with stage='curriculum' first.",
                    stacklevel=2,
                )
            self.decider.open_last(None)
        self._set_trainable()
        return super().fit(*args, **kwargs)

    def train_step(self, *args, **kwargs):
        """Runs one step: on TensorFlow the one written out with a GradientTape, elsewhere Keras' own."""
        self._set_trainable()
        if keras.backend.backend() != "tensorflow":
            return super().train_step(*args, **kwargs)
        from keras_dynamic.methods.tape_step import tape_step

        with _step_of(self):
            return tape_step(self, *args)

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the policy's loss, the entropy bonus, and the losses of Method.

        Arguments as in DynamicModel; labels are int [batch] or [batch, 1], or one-hot or soft [batch, classes].

        Source: BlockDrop, equation 6.
        """
        decider = self.decider
        sampled = self._stacked(outcome.decisions)
        probabilities = bounded(self._stacked(outcome.probabilities), decider.alpha)
        greedy = self._most_probable(x, outcome)
        gamma, scale, losses = self.gamma, 1.0, {}
        wanted = 1.0 - decider.free * (1.0 - self.current_usage)  # of each unit; those that are held run
        if self.usage is not None and self.hold == "gamma":
            used = ops.mean(self._stacked(greedy.decisions))
            gamma = penalty_for_usage(self.gamma, used, ops.mean(wanted), self.hold_strength)
            scale = 1.0 / (1.0 + gamma)
        elif self.usage is not None:
            soft = self._stacked(outcome.probabilities)
            through = ops.stop_gradient(self._stacked(greedy.decisions)) + soft - ops.stop_gradient(soft)
            losses["usage"] = self.hold_strength * per_gate(ops.transpose(through), wanted)
        advantage = scale * self_critical_advantage(self._reward(outcome, y, gamma), self._reward(greedy, y, gamma))
        log_probability = bernoulli_log_probability(ops.stop_gradient(sampled), probabilities, decider.free)
        losses["policy"] = self.policy_weight * policy_gradient_loss(log_probability, advantage, sample_weight)
        if self.entropy_weight:
            losses["entropy"] = -self.entropy_weight * ops.mean(bernoulli_entropy(probabilities, decider.free))
        return losses | (super().outcome_losses(x, y, outcome, sample_weight) if self.stage == "finetuning" else {})

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics of every dynamic model, and the mean reward at the given gamma.

        In training it is that of the sampled decisions, in evaluation that of the most probable ones.
        """
        if not isinstance(y_pred, Outcome):
            return super().compute_metrics(x, y, y_pred, sample_weight)
        self._reward_tracker.update_state(self._reward(y_pred, y, self.gamma))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _most_probable(self, x, outcome):
        """Returns the Outcome of the decisions that inference would take, in inference mode and without gradient."""
        decisions, decider = None, self.decider
        if decider.one_shot:
            run = decider.greedy(log_odds(self._stacked(outcome.probabilities)), decider.free)
            columns = ops.unstack(ops.cast(run, "float32"), len(decider.names), axis=1)
            decisions = dict(zip(decider.names, columns, strict=True))
        found = self.chain(x, self.decider, decisions=decisions, training=False)
        return keras.tree.map_structure(ops.stop_gradient, found)

    def _stacked(self, values):
        """Returns the decided units' values as one tensor, [batch, units]."""
        return ops.stack([values[name] for name in self.decider.names], axis=1)

    def _reward(self, outcome, y, gamma):
        right = batch_share_right(y, outcome.logits, self.task)
        return usage_reward(self._stacked(outcome.decisions), right, gamma)

    def get_config(self):
        """Returns the arguments, layers serialized."""
        config = super().get_config()
        config["policy"] = config.pop("decider")
        return config
