"""Gates trained with an activation loss (Herrmann et al.; AIG)."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.losses import (
    ACTIVATION_LOSSES,
    VARIABLE_TARGETS,
    batch_activation,
    exponential_target,
    mac_weighted,
    moving_target,
    per_gate,
    weight_decay,
)
from keras_dynamic.messages import check_fraction, check_number, did_you_mean
from keras_dynamic.methods.method import Annealed, logged


@keras.saving.register_keras_serializable("keras_dynamic")
class ActivationGating(Annealed):
    """A chain with gated units, trained so that the rate of units run comes near a target.

        network = kd.zoo.load("resnet32_cifar10_45k")
        model = kd.methods.ActivationGating(network.chain, target=0.6)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        model.fit(x, y)

    The loss is the compiled one, plus activation_weight times the activation loss, plus distillation and weight decay
    if they are asked for. The targets are a non-trainable variable, which callbacks.AnnealTarget changes.

    Args:
        chain: Chain.
        decider: PerUnitGates; None makes data-dependent gates.
        target: target rate in [0, 1]; for 'per_gate' also {unit name: rate} with an entry for every gate.
        activation_loss: 'batch' (equation 1), 'per_gate' (AIG) or 'macs' (section 3.4).
        const_quad: True for no penalty under the target (equation 3).
        activation_weight: of the activation loss.
        variable_target: None, or how the targets follow the activation of each batch in training: 'moving', the mean of
            the batches so far, or 'exponential' (S1.2). callbacks.AnnealTarget resets them in each epoch, at
            `target` or, until it has come down to that, at its own rate; AnnealTarget(start=0.0) anneals nothing.
        target_momentum: share of the old target in the 'exponential' one after a batch, in [0, 1].
        **kwargs: of Method (weight_decay, teacher, distillation_weight, distillation_temperature) and keras.Model; the
            weight decay of gates' weights is scaled by 20 / gates.

    Raises:
        ValueError: if a target is outside [0, 1] or names other units than the gates', a weight is no number of at
            least 0, the loss or the variable target is unknown, or, when it is built, no unit of the chain is gated or
            the teacher shares weights with it.

    Source: Herrmann et al., sections 3.1 to 3.4 and S1; AIG.
    """

    def __init__(
        self,
        chain,
        decider=None,
        target=0.6,
        activation_loss="batch",
        const_quad=False,
        activation_weight=1.0,
        variable_target=None,
        target_momentum=0.99,
        **kwargs,
    ):
        super().__init__(chain, PerUnitGates() if decider is None else decider, **kwargs)
        if activation_loss not in ACTIVATION_LOSSES:
            raise ValueError(
                f"activation_loss must be one of {ACTIVATION_LOSSES}, got {activation_loss!r}"
                f"{did_you_mean(activation_loss, ACTIVATION_LOSSES)}."
            )
        if variable_target is not None and variable_target not in VARIABLE_TARGETS:
            raise ValueError(
                f"variable_target must be None or one of {VARIABLE_TARGETS}, got {variable_target!r}"
                f"{did_you_mean(variable_target, VARIABLE_TARGETS)}."
            )
        if isinstance(target, dict):
            if activation_loss != "per_gate":
                raise ValueError(f"a target per unit needs activation_loss='per_gate', got {activation_loss!r}.")
            rates = {name: check_fraction(f"target of {name!r}", value) for name, value in target.items()}
            self.target: float | dict[str, float] = rates
        else:
            self.target = check_fraction("target", target)
        self.activation_loss, self.const_quad = activation_loss, const_quad
        self.activation_weight = check_number("activation_weight", activation_weight)
        self.variable_target = variable_target
        self.target_momentum = check_fraction("target_momentum", target_momentum)

    def prepare(self, image_shape):
        """Builds chain and gates, and makes the variable of targets."""
        super().prepare(image_shape)
        target = self._per_unit(self.target, "target must have one rate for each gated unit", "the gated units are")
        if self.variable_target and self.activation_loss == "per_gate":  # each follows its own gate
            target = np.broadcast_to(target, len(self.decider.names))
        self.current_target = self._add_target("current_target", target)
        if self.variable_target == "moving":
            self._seen = self.add_weight(
                shape=(), initializer="ones", trainable=False, name="seen", autocast=False, aggregation="mean"
            )

    def over_target(self, logs, tolerance):
        """Returns whether the share of units, or of MACs, that ran is over a target for all."""
        target = np.inf if isinstance(self.target, dict) else self.target
        if self.activation_loss != "macs":
            return logged(logs, "activation_rate") > target + tolerance
        return logged(logs, "macs_millions") * 1e6 / self.cost_tree.total_macs > target + tolerance

    def set_target_floor(self, floor):
        """Sets the targets in force, as Annealed; variable ones restart from there."""
        super().set_target_floor(floor)
        if self.built and self.variable_target == "moving":
            self._seen.assign(1.0)

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the activation loss, and distillation and weight decay if asked for; then moves a variable target."""
        losses = {"activation": self.activation_weight * self._activation(outcome)}
        if self.variable_target:
            self._follow(outcome)
        losses |= super().outcome_losses(x, y, outcome, sample_weight)
        if self.weight_decay:
            gates = self.decider.trainable_variables
            scale = 20.0 / max(len(self.decider.names), 1)
            losses["gate_weight_decay"] = weight_decay(gates, scale * self.weight_decay)
        return losses

    def _activation(self, outcome):
        if self.activation_loss == "macs":
            return mac_weighted(outcome.cost, self.current_target, self.const_quad)
        loss = batch_activation if self.activation_loss == "batch" else per_gate
        return loss(self._decided(outcome), self.current_target, self.const_quad)

    def _decided(self, outcome):
        return ops.stack([outcome.decisions[name] for name in self.decider.names])

    def _follow(self, outcome):
        """Moves the targets towards what the loss has measured on this batch."""
        if self.activation_loss == "macs":
            rate = ops.mean(outcome.cost)
        else:
            rate = ops.mean(self._decided(outcome), axis=1 if self.activation_loss == "per_gate" else None)
        if self.variable_target == "exponential":
            self.current_target.assign(exponential_target(self.current_target, rate, self.target_momentum))
            return
        self.current_target.assign(moving_target(self.current_target, rate, self._seen))
        self._seen.assign(self._seen + 1.0)
