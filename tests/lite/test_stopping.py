"""Exported models stop at exits where Keras does, and compute nothing behind them."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def run(exported, images):
    runner = lite.Interpreter(exported)
    found = [runner.run(image) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


@pytest.fixture
def stopping(toy_chain, toy_images, spread_exits):
    """Function (decider) -> model of four units, each with an exit behind it."""

    def make(decider):
        heads = [
            layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)], f"unit{k}", name=f"exit{k}")
            for k in range(1, 5)
        ]
        model = layers.DynamicModel(toy_chain(units=4, exits=heads), decider)
        model.build((None, 8, 8, 3))
        spread_exits(model, toy_images(64))
        return model

    return make


def agrees(model, images):
    """Exports in float32 and holds answers, decisions and MACs against Keras; returns the decisions, [n, decisions]."""
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    found, outcome = run(exported, images), model.outcome(images)
    metadata = lite.read_metadata(exported)
    decisions = {name: array(value) for name, value in outcome.decisions.items()}
    np.testing.assert_allclose(found["logits"], array(outcome.logits), atol=1e-4)
    np.testing.assert_array_equal(found["decisions"], np.stack([decisions[n] for n in metadata["decisions"]], axis=1))
    np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))
    return found["decisions"]


def agrees_nearly(model, images, most):
    """Exports in int8, without any float, and says that few decisions are not Keras'; returns the decisions."""
    exported = lite.export(model, "int8", images, outputs=("logits", "decisions"))
    assert lite.verify(exported).quantize == "int8"
    names = lite.read_metadata(exported)["decisions"]
    outcome = model.outcome(images)
    found = run(exported, images)["decisions"]
    assert np.mean(found != np.stack([array(outcome.decisions[name]) for name in names], axis=1)) <= most
    return found


@pytest.mark.parametrize("patience", [2, 3])
def test_patience(patience, stopping, toy_images):
    model = stopping(deciders.Patience(patience))
    rates = agrees(model, toy_images(32)).mean(axis=0)
    assert len(rates) == 5 - patience  # nobody can stop before
    assert 0 < rates[-1] < 1 and (np.diff(rates) <= 0).all()
    rates = agrees_nearly(model, toy_images(32), 0.15).mean(axis=0)
    assert 0 < rates[-1] < 1
