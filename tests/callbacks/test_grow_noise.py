"""Noise grows epoch by epoch, also after a checkpoint and in the compiled step; bad input."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.callbacks import GrowNoise
from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.layers import DynamicModel

FIT = {"batch_size": 100, "shuffle": False, "verbose": 0}


class Watch(keras.callbacks.Callback):
    """Notes the noise of each epoch."""

    def __init__(self):
        super().__init__()
        self.noise = []

    def on_epoch_end(self, epoch, logs=None):
        self.noise.append(noise_of(self.model))


class Sampled(DynamicModel):
    """Its loss in training is the share of units that were sampled to run."""

    task_weight = 0.0

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        return {"ran": keras.ops.mean(keras.ops.stack(list(outcome.decisions.values())))}


def noise_of(model):
    return float(keras.ops.convert_to_numpy(model.decider.noise))


def unwilling(made):
    """Builds a model of three units, gives the first two log odds of -2, and compiles it with a learning rate of 0."""
    made.build((None, 8, 8, 3))
    made.decider.network.layers[-1].set_weights([np.zeros((20, 2)), np.full(2, -2.0)])
    made.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


@pytest.fixture
def model(toy_chain):
    return unwilling(DynamicModel(toy_chain(), BinaryMaskNetwork(seed=0)))


@pytest.fixture
def data(toy_images):
    return toy_images(200), np.arange(200) % 3


def test_each_epoch_has_its_noise_and_the_last_one_stays(model):
    callback = GrowNoise([0.0, 0.25, 0.25, 2.0])
    callback.set_model(model)
    seen = []
    for epoch in range(7):
        callback.on_epoch_begin(epoch)
        seen.append(noise_of(model))
    assert seen == [0.0, 0.25, 0.25, 2.0, 2.0, 2.0, 2.0]


def test_the_compiled_step_sees_it(toy_chain, data):
    """A unit with log odds of -2 runs where Gaussian noise exceeds 2: with chances 0, Phi(-1) and Phi(-0.04)."""
    model, noise = unwilling(Sampled(toy_chain(), BinaryMaskNetwork(seed=0))), GrowNoise(np.array([0, 2, 50]))
    logs = model.fit(*data, epochs=4, validation_data=data, callbacks=[noise], **FIT).history
    for rate, chance in zip(logs["loss"], [0.0, 0.158655, 0.484047, 0.484047], strict=True):
        assert rate == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 400))
    assert logs["activation_rate"] == logs["val_activation_rate"] == [0.0] * 4  # no noise in inference


@pytest.mark.ci
def test_a_training_goes_on_in_the_epoch_of_its_noise(model, data, tmp_path):
    model.fit(*data, epochs=2, callbacks=[GrowNoise([0.0, 0.5, 1.0])], **FIT)
    model.save(tmp_path / "model.keras")
    loaded, watch = keras.models.load_model(tmp_path / "model.keras"), Watch()
    assert noise_of(loaded) == 0.5
    loaded.fit(*data, initial_epoch=2, epochs=4, callbacks=[GrowNoise([0.0, 0.5, 1.0, 1.5]), watch], **FIT)
    assert watch.noise == [1.0, 1.5]


def test_a_model_that_was_never_called(toy_chain, data):
    model, watch = DynamicModel(toy_chain(), BinaryMaskNetwork(noise=3.0)), Watch()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data, callbacks=[GrowNoise([0.5]), watch], **FIT)
    assert watch.noise == [0.5]


@pytest.mark.parametrize(
    ("magnitudes", "message"),
    [
        ([0.0, 2.0, 1.0], r"noise must not fall, got 2\.0 for epoch 2 and 1\.0 for epoch 3; sort"),
        (np.linspace(1, 0, 3), r"noise must not fall, got 1\.0 for epoch 1 and 0\.5 for epoch 2"),
        ([], r"needs the noise of at least one epoch, got none; \[0\.\] is no noise"),
        ([-0.5, 0.0], r"a magnitude of the noise must be a non-negative number, got -0\.5"),
        ([0.0, float("nan")], "a magnitude of the noise must be a non-negative number, got nan"),
    ],
)
def test_wrong_schedules_are_an_error(magnitudes, message):
    with pytest.raises(ValueError, match=message):
        GrowNoise(magnitudes)


@pytest.mark.parametrize(("dynamic", "kind"), [(True, "Always"), (False, "Sequential")])
def test_a_model_without_noise_is_an_error(dynamic, kind, toy_chain):
    model = DynamicModel(toy_chain()) if dynamic else keras.Sequential([layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=f"needs a model with a BinaryMaskNetwork, such as SGAD, got {kind}"):
        GrowNoise([0.0]).set_model(model)


@pytest.mark.parametrize("magnitudes", [2.0, 1, "0.5"])
def test_a_number_for_all_epochs_is_an_error(magnitudes):
    with pytest.raises(ValueError, match=f"GrowNoise takes a list of the noise of each epoch, got {magnitudes!r}"):
        GrowNoise(magnitudes)
