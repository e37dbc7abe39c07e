"""SGAD: the easier an image, by a second classifier, the more units are dropped (Wang et al. 2018)."""

import keras
from keras import ops

from keras_dynamic.cost import output_spec
from keras_dynamic.deciders import BinaryMaskNetwork, ChannelGates, PerUnitGates
from keras_dynamic.layers.logits_end import check_logits
from keras_dynamic.losses import cross_entropy, drop_ratio
from keras_dynamic.messages import check_number, is_count
from keras_dynamic.methods.method import Method
from keras_dynamic.models import guideline_network
from keras_dynamic.ops import expected_drop_ratio, softmax_variance


def fit_guideline(model, batches, epochs=4, learning_rate=2e-3, noise=0.5, verbose="auto") -> dict:
    """Trains the guideline, and the decider to drop the shares that it expects, without training or running the chain.

    Joint training alone moves the decisions of all images together until their mean share is right. After this
    function they differ between images from the first joint step, and the noise has moved logits away from the
    threshold. An epoch takes a few seconds. Not in the paper, whose trainings are longer.

        kd.methods.fit_guideline(model, batches)
        model.fit(batches, epochs=5)

    Args:
        model: built SGAD with a BinaryMaskNetwork, whose weights are changed.
        batches: what fit takes as x and iterates over: (images, labels) or (images, labels,
            sample weights), e.g. data.Batches; labels are int [batch], or one-hot or soft [batch, classes].
        epochs: over the batches.
        learning_rate: Adam's at first; it falls to 0 along a cosine.
        noise: standard deviation of the noise before the sigmoid, at least 0; the decider's own is restored at the end.
        verbose: as in keras.Model.fit.

    Returns:
        {name: list of one number per epoch}: 'drop_ratio', the distance of equation 10, and, if there is a guideline,
        'guideline', its cross entropy.

    Raises:
        ValueError: if the model is no built SGAD with a BinaryMaskNetwork, or a number is out of range.

    Source: SGAD, equations 9 to 12, without the task's part.
    """
    if not isinstance(model, SGAD) or not isinstance(model.decider, BinaryMaskNetwork) or not model.built:
        decider = getattr(getattr(model, "decider", None), "name", None)
        raise ValueError(
            f"fit_guideline takes a built SGAD with a BinaryMaskNetwork, which decides before any unit runs, got "
            f"{type(model).__name__} with decider {decider!r}; for others train chain and decider together."
        )
    check_number("learning_rate", learning_rate, positive=True)
    if not is_count(epochs):
        raise ValueError(f"epochs must be a positive int, got {epochs!r}.")
    fitted = _Fitted(model)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    fitted.compile(keras.optimizers.Adam(schedule))
    own = float(ops.convert_to_numpy(model.decider.noise))
    model.decider.set_noise(noise)
    try:
        history = fitted.fit(batches, epochs=epochs, shuffle=False, verbose=verbose).history
    finally:
        model.decider.set_noise(own)
    return {tracker.name: history[tracker.name] for tracker in fitted.trackers}


class _Fitted(keras.Model):
    """Stem, decider and guideline of an SGAD, of which the last two are trained."""

    def __init__(self, model):
        super().__init__(name="guideline_fit")
        self.decider, self.guideline = model.decider, model.guideline
        self._frozen = lambda image: model.chain.stem(image, training=False)  # in a closure it is not this model's own
        self._expected = model.expected_ratio
        self._units = len(model.chain.skippable_names)
        self.trackers = [keras.metrics.Mean(name="drop_ratio")]
        if self.guideline is not None:
            self.trackers.append(keras.metrics.Mean(name="guideline"))
        self.built = True

    def call(self, image, training=None):
        """Returns the decisions [decided units, batch], the expected shares, and the guideline's logits or None."""
        _, decisions = self.decider.begin(image, ops.stop_gradient(self._frozen(image)), training=training)
        return ops.transpose(decisions), *self._expected(image, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Adds up the distance from the expected shares and the guideline's cross entropy."""
        decisions, expected, logits = y_pred
        losses = [drop_ratio(decisions, expected, self._units)]
        if logits is not None:
            losses.append(cross_entropy(y, logits, sample_weight))
        for tracker, loss in zip(self.trackers, losses, strict=True):
            tracker.update_state(loss)
        return sum(losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the trackers' results; what came out is no prediction."""
        return self.get_metrics_result()


_INPUTS = {2: "vectors", 3: "sequences"}  # of the default guideline, by the rank of what the network takes


@keras.saving.register_keras_serializable("keras_dynamic")
class SGAD(Method):
    """A chain of which easy images run fewer units, trained with a second classifier that rates how easy an image is.

        network = kd.zoo.load("resnet32_cifar10_45k")
        model = kd.methods.SGAD(network.chain, s_max=0.8)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
        model.fit(x, y, epochs=20, callbacks=[kd.callbacks.GrowNoise(np.linspace(0, 2, 10))])

    The loss is task_weight times the compiled one, plus mask_weight times the distance between the share of units that
    an image drops and the share that the guideline expects, plus guideline_weight times the guideline's own cross
    entropy, from which alone the guideline learns. Calls, cost and export do not use the guideline;
    `DynamicModel(model.chain, model.decider)` is the network without it.

    Args:
        chain: Chain, trained before or not.
        decider: BinaryMaskNetwork, or PerUnitGates; None makes a BinaryMaskNetwork.
        guideline: SGNet, any Keras classifier from images to logits [batch, classes], without a softmax, trained along;
            None makes models.guideline_network.
        s_max: largest share of units that an image should drop, in (0, 1); the paper takes 0.2 (more accurate),
            then from there 0.8 (cheaper).
        constant_ratio: share of units that every image should drop, in [0, 1), instead of a guideline: the
            ablation. None takes the guideline's.
        mask_weight: of equation 10, non-negative.
        guideline_weight: of the guideline's cross entropy, non-negative.
        **kwargs: of Method (task_weight, weight_decay, teacher, ...) and keras.Model.

    Raises:
        ValueError: if s_max is outside (0, 1), a weight is negative, both guideline and constant_ratio are given, or,
            when it is built, the guideline gives another number of classes than the chain or shares weights with it, or
            the chain has fewer than two units that can be skipped.

    Source: SGAD, section 3.2 and equations 9 to 12; equation 11 as in ops.expected_drop_ratio.
    """

    compares_labels = True

    def __init__(
        self,
        chain,
        decider=None,
        guideline=None,
        s_max=0.8,
        constant_ratio=None,
        mask_weight=1.0,
        guideline_weight=0.3,
        **kwargs,
    ):
        decider = BinaryMaskNetwork() if decider is None else decider
        if isinstance(decider, ChannelGates) or not isinstance(decider, (BinaryMaskNetwork, PerUnitGates)):
            raise ValueError(
                "SGAD trains a decider of whole units by gradients, a BinaryMaskNetwork or PerUnitGates, got "
                f"{type(decider).__name__}; give one of them."
            )
        super().__init__(chain, decider, **kwargs)
        if not check_number("s_max", s_max, positive=True) < 1:
            raise ValueError(f"s_max must lie strictly between 0 and 1, got {s_max!r}; the paper takes 0.2 and 0.8.")
        if constant_ratio is not None:
            if guideline is not None:
                raise ValueError("give a guideline or a constant_ratio for all images, not both.")
            if not check_number("constant_ratio", constant_ratio) < 1:
                raise ValueError(f"constant_ratio must be at least 0 and under 1, got {constant_ratio!r}.")
        if guideline is not None and not isinstance(guideline, keras.layers.Layer):
            raise ValueError(f"guideline must be a Keras classifier, got {type(guideline).__name__} {guideline!r}.")
        self.s_max, self.constant_ratio = float(s_max), constant_ratio
        self.mask_weight = check_number("mask_weight", mask_weight)
        self.guideline_weight = check_number("guideline_weight", guideline_weight)
        self.guideline = guideline

    def prepare(self, image_shape):
        """Builds chain, decider and guideline."""
        super().prepare(image_shape)
        if self.constant_ratio is not None:
            return
        image = self.chain.image_spec
        if len(self.logits_shape) != 2:
            raise ValueError(
                f"SGAD's guideline rates images by one class each, got logits {list(self.logits_shape)}; give "
                "constant_ratio=... instead of a guideline."
            )
        classes = max(self.classes, 2)  # one logit is that of a binary classifier
        if self.guideline is None:
            self.guideline = guideline_network(classes, inputs=_INPUTS.get(len(image.shape), "images"))
        if not self.guideline.built:
            self.guideline.build(image.shape)
        self._check_apart("guideline", self.guideline)
        found = output_spec(self.guideline, image)
        if tuple(getattr(found, "shape", ())[1:]) != (classes,):
            shape = keras.tree.map_structure(lambda spec: list(spec.shape), found)
            raise ValueError(
                f"guideline {self.guideline.name!r} must give a logit for each of the network's {classes} classes, "
                f"[batch, {classes}], got {shape}."
            )
        check_logits(self.guideline, f"guideline {self.guideline.name!r}")  # equation 9 has the softmax itself

    @property
    def transferable(self) -> dict:
        """Layers with weights that a further training takes over, by their role."""
        guided = {} if self.guideline is None else {"guideline": self.guideline}
        return super().transferable | guided

    def expected_ratio(self, image, training=None):
        """Returns the share of units that images should drop.

        Args:
            image: [batch, height, width, channels].
            training: whether the guideline runs in training mode.

        Returns:
            (float32 tensor [batch], or the constant_ratio; the guideline's logits [batch, classes], or None).
        """
        if self.guideline is None:
            return self.constant_ratio, None
        logits = ops.cast(self.guideline(image, training=training), "float32")
        return expected_drop_ratio(softmax_variance(logits), logits.shape[-1], self.s_max), logits

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the distance from the expected drop ratio, the guideline's cross entropy, and the losses of Method.

        Arguments as in DynamicModel; labels are int [batch] or [batch, 1], or one-hot or soft [batch, classes].

        Source: SGAD, equations 10 and 12.
        """
        expected, logits = self.expected_ratio(x, training=True)
        decisions = ops.stack([outcome.decisions[name] for name in self.decider.names])
        units = len(self.chain.skippable_names)
        losses = {"mask": self.mask_weight * drop_ratio(decisions, expected, units)}
        if logits is not None:
            if self.task != "classes":
                raise ValueError(
                    "SGAD's guideline rates images by one class each, got a loss of several labels or of values; give "
                    "constant_ratio=... instead of a guideline."
                )
            losses["guideline"] = self.guideline_weight * cross_entropy(y, logits, sample_weight)
        return losses | super().outcome_losses(x, y, outcome, sample_weight)
