"""The target falls step by step, in the compiled step too."""

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import ActivationGating


def target_of(model):
    return keras.ops.convert_to_numpy(model.current_target).tolist()


def test_it_lowers_the_target_by_a_every_k_epochs(toy_chain):
    model = ActivationGating(toy_chain(units=1), target=0.6)
    model.build((None, 8, 8, 3))
    callback = AnnealTarget(a=0.1, k=2)
    callback.set_model(model)
    seen = []
    for epoch in range(12):
        callback.on_epoch_begin(epoch)
        seen.append(target_of(model))
    assert seen == pytest.approx([1.0, 1.0, 0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6])


def test_each_gate_stops_at_its_own_target(toy_chain):
    model = ActivationGating(toy_chain(units=2), target={"unit1": 0.9, "unit2": 0.3}, activation_loss="per_gate")
    model.build((None, 8, 8, 3))
    callback = AnnealTarget(a=0.25, k=1, start=0.8)
    callback.set_model(model)
    for epoch, wanted in enumerate([[0.9, 0.8], [0.9, 0.55], [0.9, 0.3], [0.9, 0.3]]):
        callback.on_epoch_begin(epoch)
        assert target_of(model) == pytest.approx(wanted)


def test_a_resumed_run_goes_on_where_it_was(toy_chain):
    model = ActivationGating(toy_chain(units=1), target=0.2)
    model.build((None, 8, 8, 3))
    callback = AnnealTarget(a=0.1, k=1)
    callback.set_model(model)
    callback.on_epoch_begin(5)
    assert target_of(model) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("a", "k", "start", "target", "epochs"),
    [
        (0.05, 5, 1.0, 0.6, 40),
        (0.1, 1, 1.0, 0.7, 3),
        (0.1, 2, 0.5, 0.6, 0),
        (0.2, 3, 1.0, {"a": 0.9, "b": 0.5}, 9),
        (1.0, 1, 1.0, 1.0, 0),
    ],
)
def test_epochs_to(a, k, start, target, epochs):
    callback = AnnealTarget(a, k, start)
    assert callback.epochs_to(target) == epochs
    lowest = min(target.values()) if isinstance(target, dict) else target
    assert start - a * (epochs // k) <= lowest + 1e-9
    assert epochs == 0 or start - a * ((epochs - 1) // k) > lowest


def test_a_compiled_step_sees_the_new_target(toy_chain, toy_images):
    """With a learning rate of 0 only the target can change the loss from one epoch to the next."""
    model = ActivationGating(toy_chain(units=1), PerUnitGates(noise=False), target=0.0, activation_weight=100.0)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(8), np.arange(8) % 3
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    # A model that was never called gets its first target from the callback too.
    logs = model.fit(images, labels, epochs=3, callbacks=[AnnealTarget(a=0.5, k=1)], **arguments).history
    assert target_of(model) == 0.0
    losses = np.array(logs["loss"]) - 100 * (np.array([1.0, 0.5, 0.0]) - logs["activation_rate"]) ** 2
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)
    assert max(logs["loss"]) - min(logs["loss"]) > 20


def test_after_the_first_fit_too(toy_chain, toy_images):
    model = ActivationGating(toy_chain(units=1), PerUnitGates(noise=False), target=0.0, activation_weight=100.0)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(8), np.arange(8) % 3
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    at_0 = model.fit(images, labels, **arguments).history
    model.set_target_floor(1.0)
    at_1 = model.fit(images, labels, **arguments).history
    found = [logs["loss"][0] - 100 * (t - logs["activation_rate"][0]) ** 2 for t, logs in ((0, at_0), (1, at_1))]
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert at_0["loss"][0] - at_1["loss"][0] > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": 0.0}, "a must be positive, got 0.0; start=0.0 anneals nothing"),
        ({"a": -0.1}, "a must be a number between 0 and 1, got -0.1"),
        ({"k": 0}, "k must be a positive int, epochs between steps, got 0"),
        ({"k": 1.5}, "k must be a positive int, epochs between steps, got 1.5"),
        ({"k": "5"}, "k must be a positive int, epochs between steps, got '5'"),
        ({"a": 1.5}, "a must be a number between 0 and 1, got 1.5"),
        ({"start": 1.5}, "start must be a number between 0 and 1, got 1.5"),
    ],
)
def test_wrong_schedules_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        AnnealTarget(**arguments)


def test_a_model_without_targets_is_an_error(toy_chain):
    callback = AnnealTarget()
    with pytest.raises(
        ValueError, match="AnnealTarget needs a model with targets, such as ActivationGating, got DynamicM"
    ):
        callback.set_model(DynamicModel(toy_chain()))
