"""Exits whose gates learn where to stop (Herrmann et al., section 5)."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.deciders import ExitGates
from keras_dynamic.losses import exit_losses, exit_rate
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.methods.annealed import Annealed
from keras_dynamic.methods.labels import class_indices


@keras.saving.register_keras_serializable("keras_dynamic")
class LearnedExits(Annealed):
    """A network with exits that learns, end to end, at which of them each image stops.

        network = kd.models.msdnet(...)
        model = kd.methods.LearnedExits(network.chain, target=0.3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        model.fit(x, y)

    The compiled loss is that of the answer at which an image stops; through the straight-through decision it teaches
    the gates where stopping is right. Each exit's cross entropy on all images is added, as in BranchyNet, which the
    paper follows: a classifier at which no image stops yet must learn before its gate can choose it. The third part
    penalises exits that too few images take (losses.exit_rate); callbacks.AnnealTarget lowers the share that may go on
    from its start to 1 - target. Sample weights reach the compiled loss alone.

    Args:
        chain: Chain with exits.
        decider: Decider that decides exits and learns; None makes ExitGates.
        target: least share of the images at an exit that stop there, in [0, 1], or {exit name: share} with an entry for
            every exit that is decided.
        exit_weights: of each exit's cross entropy on all images, in order; None for 1 each, 0 for none.
        rate_weight: of the loss on exit rates.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, distillation_temperature, task_weight) and
            keras.Model.

    Raises:
        ValueError: if a target is outside [0, 1], a weight is negative, or there is not one weight for each exit; or,
            when it is built, if no exit is decided or the targets name others than those that are.

    Source: Herrmann et al., sections 5 and S1.5. How the parts are weighed is not said there.
    """

    def __init__(self, chain, decider=None, target=0.3, exit_weights=None, rate_weight=1.0, **kwargs):
        super().__init__(chain, ExitGates() if decider is None else decider, **kwargs)
        if isinstance(target, dict):
            shares = {name: check_fraction(f"target of {name!r}", value) for name, value in target.items()}
            self.target: float | dict[str, float] = shares
        else:
            self.target = check_fraction("target", target)
        self.exit_weights = None if exit_weights is None else [check_number("exit_weights", w) for w in exit_weights]
        if self.exit_weights is not None and len(self.exit_weights) != len(chain.exits):
            raise ValueError(f"exit_weights must be {len(chain.exits)} numbers, one for each exit, got {exit_weights}.")
        self.rate_weight = check_number("rate_weight", rate_weight)

    def check_chain(self):
        """Raises a ValueError if no exit is decided."""
        if not self._decided(self.decider.choose(self.chain)):
            raise ValueError(
                f"LearnedExits needs exits that are decided, but {type(self.decider).__name__} decides none of this "
                "chain; give Chain exits=[Exit(...), ...], and ExitGates as decider or as one of several (Joined)."
            )

    def _decided(self, names):
        """Returns the exits among these names, in order of execution."""
        return [name for name in self.chain.exit_names if name in names]

    def prepare(self, image_shape):
        """Builds chain and gates, and makes the variable of targets: the shares that go on."""
        super().prepare(image_shape)
        self.exit_names = self._decided(self.decider.names)
        self.going_target = self._add_target("going_target", 1.0 - np.asarray(self._stopping()))

    def _stopping(self):
        """Returns the target as it is, or of one per exit the list in order of execution."""
        if not isinstance(self.target, dict):
            return self.target
        if sorted(self.target) != sorted(self.exit_names):
            raise ValueError(
                f"target must have one share for each decided exit, got {list(self.target)}; the decided exits are "
                f"{self.exit_names}."
            )
        return [self.target[name] for name in self.exit_names]

    def outcome_losses(self, x, y, outcome):
        """Returns a loss per exit, the loss on exit rates, and what methods share."""
        labels = class_indices(y, outcome.logits.shape[-1])
        weights = self.exit_weights or [1.0] * len(outcome.exits)
        losses = exit_losses(list(outcome.exits.values()), labels, weights)
        going = ops.stack([outcome.decisions[name] for name in self.exit_names])
        rates = {"exit_rates": self.rate_weight * exit_rate(going, 1.0 - self.going_target)}
        return dict(zip(outcome.exits, losses, strict=True)) | rates | super().outcome_losses(x, y, outcome)

    def get_config(self):
        """Returns the arguments, layers serialized."""
        return {
            **super().get_config(),
            "target": self.target,
            "exit_weights": self.exit_weights,
            "rate_weight": self.rate_weight,
        }
