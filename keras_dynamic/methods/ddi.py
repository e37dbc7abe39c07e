"""Dual dynamic inference: gates trained by what their decisions cost, in MACs, energy or any other unit."""

import keras
from keras import ops

from keras_dynamic.cost import expected, priced
from keras_dynamic.deciders import RecurrentGates
from keras_dynamic.keras_hooks import all_layers
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.methods.method import Annealed, logged


@keras.saving.register_keras_serializable("keras_dynamic")
class DDI(Annealed):
    """A chain whose decisions are trained by their cost: units by one LSTM, groups of channels by small CNNs.

        network = kd.transform.group_channels(kd.zoo.load("resnet32_cifar10_45k"), {"stage2": 16, "stage3": 16})
        gates = kd.deciders.CombinedDecider([kd.deciders.RecurrentGates(), kd.deciders.ChannelCNNGates()])
        model = kd.methods.DDI(network.chain, gates, alpha=4.0, target=0.6)
        model.freeze_network()  # the gates alone, until no more is skipped
        model.compile("adam", loss)
        model.fit(x, y, epochs=20, callbacks=[keras.callbacks.EarlyStopping("activation_rate", mode="min", patience=2)])
        model.freeze_network(False)  # then all together
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
        model.fit(x, y, epochs=20)

    The loss is the compiled one, plus alpha times E, the mean cost of the images over that of everything on, gates
    included. With exits the compiled loss of each is added, times the deepest one's loss over its own, without
    gradient, so that all weigh alike.

    Args:
        chain: Chain.
        decider: Decider; None makes RecurrentGates.
        alpha: weight of the cost.
        target: None for the paper's penalty, alpha E; or the share in [0, 1] that E is to have, alpha (E - target)^2,
            which keeps decisions that depend on the image, where a mere penalty closes gates for all of them.
            callbacks.AnnealTarget lowers it.
        balance: weight of the balance loss: over the decisions on units and groups, the sum of the squared distance of
            each one's rate over all images of a batch, of a group's as if its unit ran, from their mean; 0, as in the
            paper, for none. With some 4 no decision closes or opens for all images, as many do where only the cost is
            held.
        table: None for MACs; or {part: cost} in another unit, such as the energy of lite.part_energy, see cost.priced.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, ...) and keras.Model.

    Raises:
        ValueError: if alpha, balance or target is out of range; or, when it is built, if no unit is decided, a teacher
            shares weights with it, or the table does not fit.

    Source: DDI, equations 4 and 5, sections 3.1 to 3.3. The target and the balance are this project's.
    """

    def __init__(self, chain, decider=None, alpha=1.0, target=None, balance=0.0, table=None, **kwargs):
        super().__init__(chain, RecurrentGates() if decider is None else decider, **kwargs)
        self.alpha = check_number("alpha", alpha)
        self.balance = check_number("balance", balance)
        self.target = None if target is None else check_fraction("target", target)
        self.table = None if table is None else dict(table)
        self._trainable_before = None  # of each layer of the chain, while the network is frozen

    def prepare(self, image_shape):
        """Builds chain and gates, prices the cost, and makes the variable of the target."""
        super().prepare(image_shape)
        self._priced = None if self.table is None else priced(self.cost_tree, self.table)
        self.current_target = self._add_target("current_target", 0.0 if self.target is None else self.target)

    @property
    def new_layers(self):
        """The exits, which a network that was trained without them lacks."""
        return list(self.chain.exits)

    def set_target_floor(self, floor):
        """Sets the target in force, as Annealed."""
        if self.target is None:
            raise ValueError("a penalty on the cost has no target to anneal; give DDI(target=...).")
        super().set_target_floor(floor)

    def freeze_network(self, frozen=True):
        """Sets whether the chain stays as it is, batch norm included, while the gates are trained; compile then.

        Args:
            frozen: False to train all but those layers of the chain that were not trainable before either; all, if
                another model has frozen it, or this one before it was saved.

        Source: DDI, section 3.3 ("we first freeze W, and only train G").
        """
        chain = all_layers(self.chain)
        before = self._trainable_before
        if before is None:  # nothing was trainable: another model has frozen it, or this one before it was saved
            before = [layer.trainable or not self.chain.trainable_weights for layer in chain]
        self._trainable_before = before if frozen else None
        for layer, trainable in zip(chain, before, strict=True):  # outer layers first
            layer.trainable = trainable and not frozen

    def over_target(self, logs, tolerance):
        """Returns whether the share of MACs that ran is over the target; False where the cost is none of MACs."""
        if self.target is None or self.table is not None:
            return False
        return logged(logs, "macs_millions") * 1e6 / self.cost_tree.total_macs > self.target + tolerance

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the loss on the cost, one for each exit, and those of Method."""
        cost = outcome.cost if self._priced is None else expected(self._priced, outcome.conditional)
        mean = ops.mean(cost)
        held = mean if self.target is None else ops.square(mean - self.current_target)
        losses = {"cost": self.alpha * held}
        if self.balance:
            losses["balance"] = self.balance * self._imbalance(outcome)
        names = self.chain.exit_names
        if names:
            deepest = self.compiled_loss(y, outcome.logits, sample_weight)
            for name in names:
                own = self.compiled_loss(y, outcome.exits[name], sample_weight)
                losses[name] = ops.stop_gradient(deepest / ops.maximum(own, 1e-7)) * own
        return losses | super().outcome_losses(x, y, outcome, sample_weight)

    def _imbalance(self, outcome):
        """Returns the sum of the squared distances of the decisions' rates in the batch from their mean."""
        exits, decider = set(self.chain.exit_names), self.decider
        names = [name for name in decider.names if name not in exits and name not in decider.constants]
        rates = ops.stack([ops.mean(outcome.conditional[name]) for name in names])
        return ops.sum(ops.square(rates - ops.mean(rates)))
