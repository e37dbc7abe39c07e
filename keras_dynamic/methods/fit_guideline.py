"""BMNet and the guideline trained before the network itself is."""

import keras
from keras import ops

from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.losses import drop_ratio
from keras_dynamic.messages import check_number, is_count
from keras_dynamic.methods.sgad import SGAD


def fit_guideline(model, batches, epochs=4, learning_rate=2e-3, noise=0.5, verbose="auto") -> dict:
    """Trains the guideline, and the decider to ask what it asks for, while the chain stands still and is not even run.

    Joint training pushes the decider one way for all images until the mean share is right, and breaks units meanwhile
    that come back later. After this it tells images apart from the first joint step on, and the noise has made it sure
    of what it says: without, most logits would lie where the least push turns them. An epoch takes a few seconds.
    Not in the paper, whose trainings are long enough to do without.

        kd.methods.fit_guideline(model, batches)
        model.fit(batches, epochs=5)

    Args:
        model: built SGAD with a BinaryMaskNetwork, whose weights are changed.
        batches: what fit takes as x and iterates over: (images, int labels [batch]) pairs, e.g. data.Batches.
        epochs: over the batches.
        learning_rate: Adam's at first; it falls to 0 along a cosine.
        noise: standard deviation of the noise before the sigmoid meanwhile, at least 0; the decider's own comes back.
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
        self._asked = model.expected_ratio
        self._units = len(model.chain.skippable_names)
        self.trackers = [keras.metrics.Mean(name="drop_ratio")]
        if self.guideline is not None:
            self.trackers.append(keras.metrics.Mean(name="guideline"))
        self.built = True

    def call(self, image, training=None):
        """Returns the decisions [decided units, batch], the shares asked for, and the guideline's logits or None."""
        _, decisions = self.decider.begin(image, ops.stop_gradient(self._frozen(image)), training=training)
        return ops.transpose(decisions), *self._asked(image, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Adds up the distance from the shares asked for and the guideline's cross entropy."""
        decisions, asked, logits = y_pred
        losses = [drop_ratio(decisions, asked, self._units)]
        if logits is not None:
            losses.append(ops.mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)))
        for tracker, loss in zip(self.trackers, losses, strict=True):
            tracker.update_state(loss)
        return sum(losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Returns the trackers' results; what came out is no prediction."""
        return self.get_metrics_result()
