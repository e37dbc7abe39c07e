"""Training of exits: IMTA (Li et al. 2019) and learned exits (Herrmann et al., section 5)."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.deciders import ExitGates
from keras_dynamic.layers import Always, Collaborative, LeafHead, gradient_equilibrium, masked
from keras_dynamic.losses import exit_losses, exit_rate
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.methods.method import Annealed, Method
from keras_dynamic.ops import batch_share_right


@keras.saving.register_keras_serializable("keras_dynamic")
class IMTA(Method):
    """A network with exits, which are all trained at once.

    Phase I trains everything under gradient equilibrium; phase II trains the classifiers alone, which collaborate
    and learn from the deepest. Each technique can be switched by itself.

        network = kd.models.msdnet(...)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        one = kd.methods.IMTA(network.chain)
        one.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        one.fit(x, y)
        two = kd.methods.IMTA(kd.transform.collaborate(network, hidden=100).chain, alpha=0.5, classifiers_only=True)
        two.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        two.fit(x, y)

    The compiled loss, whichever it is, is applied to every exit, under sample and class weights. Where the network has
    two logits or more, `metrics` have each exit's accuracy under its name: the share of images whose largest logit is
    that of the label, or of the largest of soft labels.

    Args:
        chain: Chain with exits.
        decider: Decider; Always by default: exits are trained on all images, whichever may stop there later.
        exit_weights: lambda of each exit, positive, the deepest last; None for 1 each.
        equilibrium: True for gradient equilibrium.
        alpha: share of the compiled loss in the loss of each exit but the deepest, in [0, 1]; the rest is the distance
            from the deepest exit's logits (one-for-all distillation). 1 for none.
        temperature: of that distance, positive.
        classifiers_only: True trains only the last layer of each classifier, and what collaboration adds; the rest is
            frozen, batch norm included. Set it when the model is made: it changes `trainable` of the chain's layers.
        **kwargs: of Method (weight_decay, teacher, ...) and keras.Model.

    Raises:
        ValueError: if a number is out of range, or, when it is built, the chain has no exits or exit_weights are not
            one for each.

    Source: IMTA (Li et al. 2019), section 3, equations 1 to 8.
    """

    def __init__(
        self,
        chain,
        decider=None,
        exit_weights=None,
        equilibrium=True,
        alpha=1.0,
        temperature=1.0,
        classifiers_only=False,
        **kwargs,
    ):
        weights = (
            None
            if exit_weights is None
            else [check_number("exit_weights", each, positive=True) for each in exit_weights]
        )
        if weights and "task_weight" in kwargs:
            raise ValueError("the last of exit_weights is the task_weight, got both; leave task_weight out.")
        if weights:
            kwargs["task_weight"] = weights[-1]
        super().__init__(chain, Always() if decider is None else decider, **kwargs)
        chain = self.chain
        self.exit_weights, self.equilibrium = weights, bool(equilibrium)
        self.alpha = check_fraction("alpha", alpha)
        self.temperature = check_number("temperature", temperature, positive=True)
        self.classifiers_only = bool(classifiers_only)
        if not chain.exits:
            raise ValueError(
                "IMTA trains a chain with exits, got one without; give Chain some, exits=[Exit(...), ...]."
            )
        count = len(chain.exits) + 1
        if weights is not None and len(weights) != count:
            raise ValueError(
                f"exit_weights must be {count} numbers, one for each exit and the last for the head, got "
                f"{exit_weights}."
            )

    def check_chain(self):
        """Accepts chains without decisions: the exits are trained."""

    def prepare(self, image_shape):
        """Builds the chain, and freezes all but the classifiers if only these are trained."""
        super().prepare(image_shape)
        self._accuracies = [keras.metrics.Mean(name=f"{name}_accuracy") for name in self.chain.exit_names]
        if self.classifiers_only:
            freeze_features(self.chain)

    @property
    def new_layers(self) -> list:
        """The paths of collaboration, which a network of phase I lacks."""
        heads = [head for head in _heads(self.chain) if isinstance(head, Collaborative)]
        return [head.transfer for head in heads if head.transfer is not None]

    def executor(self, training):
        """Returns gradient equilibrium in training, if `equilibrium`."""
        return gradient_equilibrium if training and self.equilibrium else masked

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns a loss per exit but the deepest, whose loss is the compiled one, and the losses of Method."""
        names = self.chain.exit_names  # JAX sorts dictionaries
        losses = exit_losses(
            [outcome.exits[name] for name in names],
            outcome.logits,
            lambda logits: self.compiled_loss(y, logits, sample_weight),
            self.exit_weights[:-1] if self.exit_weights else [1.0] * len(names),
            self.alpha,
            self.temperature,
            sample_weight,
            self.task,
        )
        return dict(zip(names, losses, strict=True)) | super().outcome_losses(x, y, outcome, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates each exit's accuracy besides the other metrics."""
        if hasattr(y_pred, "exits") and self.task != "values":
            for name, tracker in zip(self.chain.exit_names, self._accuracies, strict=True):
                tracker.update_state(batch_share_right(y, y_pred.exits[name], self.task))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self):
        """Returns the arguments, layers serialized."""
        config = super().get_config()
        if self.exit_weights:
            del config["task_weight"]  # the last of them
        return config


def freeze_features(chain):
    """Freezes all of a chain but the last layer of each classifier, and what collaboration adds.

    Frozen batch norm keeps its statistics too.

    Args:
        chain: Chain.

    Source: IMTA, section 4 (phase II).
    """
    for layer in (chain.stem, *chain.units):
        layer.trainable = False
    for head in _heads(chain):
        while isinstance(head, (Collaborative, LeafHead)):
            head = head.head
        for layer in getattr(head, "layers", [head])[:-1]:
            layer.trainable = False


def _heads(chain):
    """Returns the heads of the exits, and of the chain."""
    return [*(each.head for each in chain.exits), chain.head]


@keras.saving.register_keras_serializable("keras_dynamic")
class LearnedExits(Annealed):
    """A network with exits that learns, end to end, at which exit each image stops.

        network = kd.models.msdnet(...)
        model = kd.methods.LearnedExits(network.chain, target=0.3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        model.fit(x, y)

    The compiled loss is that of the exit at which an image stops; through the straight-through decision it trains the
    gates. Each exit's compiled loss on all images is added, as in BranchyNet, which the
    paper follows: a classifier at which no image stops yet must learn before its gate can choose it. The third part
    penalises exits that too few images take (losses.exit_rate); callbacks.AnnealTarget lowers the share that may go on
    from its start to 1 - target.

    Args:
        chain: Chain with exits.
        decider: Decider that decides exits and learns; None makes ExitGates.
        target: least share of the images at an exit that stop there, in [0, 1], or {exit name: share} with an entry for
            every exit that is decided.
        exit_weights: of each exit's compiled loss on all images, in order; None for 1 each, 0 for none.
        rate_weight: of the loss on exit rates.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, distillation_temperature, task_weight) and
            keras.Model.

    Raises:
        ValueError: if a target is outside [0, 1], a weight is negative, or there is not one weight for each exit; or,
            when it is built, if no exit is decided or the targets name others than those that are.

    Source: Herrmann et al., sections 5 and S1.5. The paper does not give the weights of the parts.
    """

    def __init__(self, chain, decider=None, target=0.3, exit_weights=None, rate_weight=1.0, **kwargs):
        super().__init__(chain, ExitGates() if decider is None else decider, **kwargs)
        if isinstance(target, dict):
            shares = {name: check_fraction(f"target of {name!r}", value) for name, value in target.items()}
            self.target: float | dict[str, float] = shares
        else:
            self.target = check_fraction("target", target)
        self.exit_weights = None if exit_weights is None else [check_number("exit_weights", w) for w in exit_weights]
        if self.exit_weights is not None and len(self.exit_weights) != len(self.chain.exits):
            raise ValueError(
                f"exit_weights must be {len(self.chain.exits)} numbers, one for each exit, got {exit_weights}."
            )
        self.rate_weight = check_number("rate_weight", rate_weight)

    def check_chain(self):
        """Raises a ValueError if no exit is decided."""
        if not self._decided(self.decider.choose(self.chain)):
            raise ValueError(
                f"LearnedExits needs exits that are decided, but {type(self.decider).__name__} decides none of this "
                "chain; give Chain exits=[Exit(...), ...], and ExitGates as decider or in a CombinedDecider."
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

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns a loss per exit, the loss on exit rates, and the losses of Method."""
        names = self.chain.exit_names
        weights = self.exit_weights or [1.0] * len(names)
        losses = {
            name: weight * self.compiled_loss(y, outcome.exits[name], sample_weight)
            for name, weight in zip(names, weights, strict=True)
        }
        going = ops.stack([outcome.decisions[name] for name in self.exit_names])
        rates = {"exit_rates": self.rate_weight * exit_rate(going, 1.0 - self.going_target)}
        return losses | rates | super().outcome_losses(x, y, outcome, sample_weight)
