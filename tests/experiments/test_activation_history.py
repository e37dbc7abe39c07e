"""Rates of gates that a schedule sets, written epoch by epoch."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.experiments.history import ActivationHistory, read_activation_history
from keras_dynamic.methods import ActivationGating


@pytest.fixture
def model(toy_chain):
    gated = ActivationGating(toy_chain(units=2), PerUnitGates(data_dependent=False))
    gated.build((None, 8, 8, 3))
    gated.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return gated


class Close(keras.callbacks.Callback):
    """Closes a unit's gate when an epoch begins."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.epochs:
            self.model.decider.gates[self.epochs[epoch]].logits.assign([9.0, -9.0])


def fit(model, images, path, epochs, first=0, closing=()):
    callbacks = [Close(dict(closing)), ActivationHistory(path, images)]
    model.fit(
        images, np.zeros(len(images)), epochs=epochs, initial_epoch=first, verbose=0, shuffle=False, callbacks=callbacks
    )


def test_a_row_for_each_epoch(model, toy_images, tmp_path):
    path = tmp_path / "rates.csv"
    fit(model, toy_images(8), path, 3, closing={1: "unit2", 2: "unit1"})
    assert read_activation_history(path) == {
        "epochs": [1, 2, 3],
        "rates": {"unit1": [1.0, 1.0, 0.0], "unit2": [1.0, 0.0, 0.0]},
    }
    assert path.read_text().splitlines()[:2] == ["epochs,unit1,unit2", "1,1.0000,1.0000"]
    assert [each.name for each in tmp_path.iterdir()] == ["rates.csv"]


def test_a_resumed_training_goes_on_with_the_file(model, toy_images, tmp_path):
    path = tmp_path / "rates.csv"
    fit(model, toy_images(8), path, 3)
    fit(model, toy_images(8), path, 3, first=1, closing={2: "unit1"})  # epochs 1 and 2 once more
    assert read_activation_history(path) == {
        "epochs": [1, 2, 3],
        "rates": {"unit1": [1.0, 1.0, 0.0], "unit2": [1.0, 1.0, 1.0]},
    }


def test_rates_are_shares_of_the_images(toy_chain, toy_images, spread_gates, tmp_path):
    model = ActivationGating(toy_chain(units=2), PerUnitGates())
    model.build((None, 8, 8, 3))
    images = toy_images(20)
    spread_gates(model, images)
    history = ActivationHistory(tmp_path / "rates.csv", images)
    history.set_model(model)
    history.on_epoch_end(4)  # of a run whose earlier epochs were not written
    decisions = model.outcome(images).decisions
    assert read_activation_history(tmp_path / "rates.csv") == {
        "epochs": [5],
        "rates": {name: [pytest.approx(np.mean(value), abs=5e-5)] for name, value in decisions.items()},
    }
    assert 0 < np.mean(decisions["unit1"]) < 1


def test_no_file_is_an_empty_history(tmp_path):
    assert read_activation_history(tmp_path / "rates.csv") == {"epochs": [], "rates": {}}
