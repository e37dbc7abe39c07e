"""Curricula: units open one after another by epochs or steps, also after a checkpoint; bad input."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.callbacks import Curriculum
from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.layers import DynamicModel

IMAGES, BATCH = 12, 4  # 3 steps per epoch
FIT = {"batch_size": BATCH, "shuffle": False, "verbose": 0}


class Watch(keras.callbacks.Callback):
    """Notes how many units the policy decides in each step and epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.epochs = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.steps.append(int(keras.ops.sum(self.model.decider.free)))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(int(keras.ops.sum(self.model.decider.free)))


@pytest.fixture
def model(toy_chain):
    """Three units that the policy drops with near certainty, compiled with a learning rate of 0."""
    network = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, "linear", True, "zeros")])
    made = DynamicModel(toy_chain(units=3), Policy(network, alpha=1.0, seed=0))
    made.build((None, 8, 8, 3))
    network.layers[-1].bias.assign([-20.0] * 3)
    made.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


@pytest.fixture
def data(toy_images):
    return toy_images(IMAGES), np.arange(IMAGES) % 3


@pytest.mark.parametrize(("epochs", "wanted"), [(1, [1, 2, 3, 3, 3]), (2, [1, 1, 2, 2, 3])])
def test_a_unit_every_so_many_epochs(epochs, wanted, model, data):
    watch = Watch()
    logs = model.fit(*data, epochs=5, callbacks=[Curriculum(epochs=epochs), watch], **FIT).history
    assert watch.epochs == wanted
    # The compiled step sees it: what is not open yet runs, what is open is dropped by this policy.
    np.testing.assert_allclose(logs["activation_rate"], 1 - np.array(wanted) / 3, atol=1e-6)


@pytest.mark.parametrize(("steps", "wanted"), [(1, [1, 2, 3, 3, 3, 3]), (2, [1, 1, 2, 2, 3, 3]), (5, [1] * 5 + [2])])
def test_a_unit_every_so_many_steps(steps, wanted, model, data):
    watch = Watch()
    logs = model.fit(*data, epochs=2, callbacks=[Curriculum(steps=steps), watch], **FIT).history
    assert watch.steps == wanted
    np.testing.assert_allclose(
        logs["activation_rate"], [1 - np.mean(wanted[:3]) / 3, 1 - np.mean(wanted[3:]) / 3], atol=1e-6
    )


def test_validation_sees_the_same_units(model, data):
    logs = model.fit(*data, epochs=3, validation_data=data, callbacks=[Curriculum(epochs=1)], **FIT).history
    np.testing.assert_allclose(logs["val_activation_rate"], [2 / 3, 1 / 3, 0], atol=1e-6)


def test_once_all_are_open_nothing_changes(model, data):
    watch = Watch()
    model.fit(*data, epochs=30, initial_epoch=28, callbacks=[Curriculum(epochs=1), watch], **FIT)
    assert watch.epochs == [3, 3]


def test_a_training_goes_on_in_the_epoch_of_its_curriculum(model, data, tmp_path):
    model.fit(*data, epochs=2, callbacks=[Curriculum(epochs=2)], **FIT)
    model.save(tmp_path / "model.keras")
    loaded, watch = keras.models.load_model(tmp_path / "model.keras"), Watch()
    loaded.fit(*data, initial_epoch=2, epochs=6, callbacks=[Curriculum(epochs=2), watch], **FIT)
    assert watch.epochs == [2, 2, 3, 3]


@pytest.mark.ci
def test_a_training_goes_on_in_the_step_of_its_curriculum(model, data, tmp_path):
    model.fit(*data, callbacks=[Curriculum(steps=4)], **FIT)
    model.save(tmp_path / "model.keras")
    loaded, watch = keras.models.load_model(tmp_path / "model.keras"), Watch()
    loaded.fit(*data, epochs=2, callbacks=[Curriculum(steps=4), watch], **FIT)
    assert watch.steps == [1, 2, 2, 2, 2, 3]  # steps 4 to 9


def test_it_works_for_sequential_policies_and_unbuilt_models(toy_chain, data):
    model, watch = DynamicModel(toy_chain(units=3), SequentialPolicy()), Watch()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data, callbacks=[Curriculum(steps=1), watch], **FIT)
    assert watch.steps[1:] == [2, 3]  # before the first step the model has no units yet


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"epochs": 1, "steps": 1},
        {"epochs": 0},
        {"steps": 0},
        {"epochs": -2},
        {"steps": 1.5},
        {"epochs": "1"},
        {"steps": True},
    ],
)
def test_one_whole_number_is_given(given):
    message = f"one whole number of at least 1, got epochs={given.get('epochs')!r}, steps={given.get('steps')!r}"
    with pytest.raises(ValueError, match=message):
        Curriculum(**given)


@pytest.mark.parametrize(("decided", "kind"), [(True, "Always"), (False, "Sequential")])
def test_a_model_without_policy_is_an_error(decided, kind, toy_chain, data):
    model = DynamicModel(toy_chain()) if decided else keras.Sequential([layers.GlobalAveragePooling2D()])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=f"needs a model with a policy, such as BlockDrop, got {kind}"):
        model.fit(*data, callbacks=[Curriculum(epochs=1)], **FIT)
