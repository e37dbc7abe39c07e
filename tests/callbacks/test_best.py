"""The best epoch among those that meet the target."""

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import AnnealTarget, BestWithinTarget
from keras_dynamic.methods import ActivationGating


class Scripted(keras.Model):
    """A model of one weight, which counts the epochs; its logs are given by the test."""

    target_reached = True

    def __init__(self):
        super().__init__()
        self.count = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return x + self.count

    def over_target(self, logs, tolerance):
        return logs["val_activation_rate"] > 0.5 + tolerance if "val_activation_rate" in logs else False


def run(callback, logs, reached=None):
    """Feeds logs to a callback, an epoch each; the model's weight is the epoch's number."""
    model = Scripted()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, each in enumerate(logs):
        model.count.assign(epoch)
        model.target_reached = reached is None or reached[epoch]
        callback.on_epoch_end(epoch, each)
        if getattr(model, "stop_training", False):
            break
    callback.on_train_end()
    return float(model.count)


def log(value, rate=0.5):
    return {"val_accuracy": value, "val_activation_rate": rate}


def test_epochs_before_the_target_is_reached_do_not_count():
    best = BestWithinTarget()
    assert run(best, [log(0.9), log(0.8), log(0.7), log(0.75)], [False, False, True, True]) == 3
    assert (best.best, best.best_epoch) == (0.75, 3)


def test_epochs_over_the_target_rate_do_not_count():
    assert run(BestWithinTarget(), [log(0.9, 0.6), log(0.7, 0.51), log(0.6, 0.4)]) == 1
    assert run(BestWithinTarget(tolerance=0.2), [log(0.9, 0.6), log(0.7, 0.51)]) == 0


def test_patience_counts_epochs_that_count():
    logs = [log(0.9), log(0.8, 0.9), log(0.8), log(0.7), log(0.95)]
    best = BestWithinTarget(patience=2)
    assert run(best, logs) == 0
    assert best.best == 0.9


def test_losses_are_better_when_smaller():
    assert run(BestWithinTarget(monitor="val_loss"), [{"val_loss": 3.0}, {"val_loss": 1.0}, {"val_loss": 2.0}]) == 1


def test_without_an_epoch_that_counts_the_last_weights_stay():
    with pytest.warns(UserWarning, match="no epoch met the target, so the last weights stay"):
        assert run(BestWithinTarget(), [log(0.9), log(0.8)], [False, False]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "most"}, "mode must be 'max', 'min' or None, got 'most'"),
        ({"patience": 0}, "patience must be a number of epochs, at least 1"),
        ({"tolerance": -1}, "tolerance"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        BestWithinTarget(**arguments)


def test_a_figure_that_is_not_logged_is_an_error():
    with pytest.raises(ValueError, match=r"the logs have no 'val_accuracy'; they have \['loss'\]"):
        run(BestWithinTarget(), [{"loss": 1.0}])


def test_in_a_training(toy_chain, toy_images, tmp_path):
    model = ActivationGating(toy_chain(), target=0.5)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    data = toy_images(12), np.arange(12) % 3
    best = BestWithinTarget(tmp_path / "best.keras", tolerance=1.0)
    model.fit(*data, validation_data=data, epochs=4, callbacks=[AnnealTarget(a=0.25, k=1), best], verbose=0)
    assert best.best_epoch >= 2  # the target is 1.0, 0.75 and 0.5 in turn
    saved = keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(saved(data[0]), model(data[0]), atol=1e-6)


def test_keras_own_callbacks_warn_once_while_a_target_comes_down(toy_chain, toy_images):
    model = ActivationGating(toy_chain(), target=0.5)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    stopping = keras.callbacks.EarlyStopping(monitor="loss")
    with pytest.warns(UserWarning, match="EarlyStopping takes the best epoch while AnnealTarget .*BestWithinTarget"):
        model.fit(toy_images(), np.arange(6) % 3, callbacks=[AnnealTarget(), stopping], verbose=0)


def test_the_mode_follows_from_the_name():
    for monitor, mode in (
        ("val_mae", "min"),
        ("val_macs_millions", "min"),
        ("val_auc", "max"),
        ("exit1_accuracy", "max"),
    ):
        assert BestWithinTarget(monitor=monitor).mode == mode
    with pytest.raises(ValueError, match="mode must be given for 'val_score', whose name does not tell"):
        BestWithinTarget(monitor="val_score")


def test_epochs_without_a_number_are_left_out():
    logs = [{"loss": 1.0}, log(float("nan")), log(0.7), {"loss": 0.5}, log(0.6)]
    assert run(BestWithinTarget(), logs) == 2
    with pytest.raises(ValueError, match=r"the logs have no 'val_accuracy'; they have \['loss'\]"):
        run(BestWithinTarget(), [{"loss": 1.0}])


@pytest.mark.parametrize(
    ("loss", "logs", "over"),
    [
        ("batch", {"activation_rate": 0.9, "val_activation_rate": 0.5}, False),
        ("batch", {"activation_rate": 0.9}, True),
        ("macs", {"val_activation_rate": 0.9, "val_macs_millions": 0.0}, False),
        ("macs", {"val_macs_millions": 1e9}, True),
        ("batch", {}, False),
    ],
)
def test_what_is_over_a_target(toy_chain, loss, logs, over):
    model = ActivationGating(toy_chain(), target=0.5, activation_loss=loss)
    model.build((None, 8, 8, 3))
    assert model.over_target(logs, 0.02) is over
