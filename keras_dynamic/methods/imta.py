"""Exits trained together (Li et al. 2019): gradient equilibrium, collaboration, distillation from the deepest."""

import keras

from keras_dynamic.layers import Always, Collaborative, LeafHead, gradient_equilibrium, masked
from keras_dynamic.losses import exit_losses
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.methods.labels import class_indices
from keras_dynamic.methods.method import Method


@keras.saving.register_keras_serializable("keras_dynamic")
class IMTA(Method):
    """A network with exits, all trained at once.

    Phase I trains everything under gradient equilibrium; phase II goes on with the classifiers alone, which collaborate
    and learn from the deepest. Each technique can be switched by itself.

        network = kd.models.msdnet(...)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        one = kd.methods.IMTA(network.chain)
        one.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        one.fit(x, y)
        two = kd.methods.IMTA(kd.models.collaborate(network, hidden=100).chain, alpha=0.5, classifiers_only=True)
        two.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
        two.fit(x, y)

    The compiled loss is the deepest exit's cross entropy; those of the others are added. `metrics` tell each exit's
    accuracy under its name. Sample weights reach the compiled loss alone.

    Args:
        chain: Chain with exits.
        decider: Decider; Always by default: exits are trained on all images, whoever may stop there afterwards.
        exit_weights: lambda of each exit, positive, the deepest last; None for 1 each.
        equilibrium: True for gradient equilibrium.
        alpha: share of the cross entropy in the loss of each exit but the deepest, in [0, 1]; the rest is the distance
            from the deepest exit's answer (one-for-all distillation). 1 for none.
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
        self._accuracies = [
            keras.metrics.SparseCategoricalAccuracy(name=f"{name}_accuracy") for name in chain.exit_names
        ]

    def check_chain(self):
        """Needs no decisions: the exits are what is trained."""

    def prepare(self, image_shape):
        """Builds the chain, and freezes all but the classifiers if only these are trained."""
        super().prepare(image_shape)
        if self.classifiers_only:
            freeze_features(self.chain)

    @property
    def newcomers(self) -> list:
        """The paths of collaboration, which a network of phase I lacks."""
        heads = [head for head in _heads(self.chain) if isinstance(head, Collaborative)]
        return [head.transfer for head in heads if head.transfer is not None]

    def reading(self, training):
        """Returns gradient equilibrium in training, if it is asked for."""
        return gradient_equilibrium if training and self.equilibrium else masked

    def outcome_losses(self, x, y, outcome):
        """Returns a loss per exit but the deepest, whose is the compiled one, and what methods share."""
        labels = class_indices(y, outcome.logits.shape[-1])
        weights = self.exit_weights or [1.0] * (len(outcome.exits) + 1)
        *losses, _ = exit_losses(
            [*outcome.exits.values(), outcome.logits], labels, weights, self.alpha, self.temperature
        )
        return dict(zip(outcome.exits, losses, strict=True)) | super().outcome_losses(x, y, outcome)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates each exit's accuracy besides the other metrics."""
        if hasattr(y_pred, "exits"):
            labels = class_indices(y, y_pred.logits.shape[-1])
            for name, tracker in zip(self.chain.exit_names, self._accuracies, strict=True):
                tracker.update_state(labels, y_pred.exits[name])  # by name: JAX hands dictionaries on sorted
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self):
        """Returns the arguments, layers serialized."""
        config = {
            **super().get_config(),
            "exit_weights": self.exit_weights,
            "equilibrium": self.equilibrium,
            "alpha": self.alpha,
            "temperature": self.temperature,
            "classifiers_only": self.classifiers_only,
        }
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
