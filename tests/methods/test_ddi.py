"""DDI: its loss by hand, in MACs and in another unit, exits that weigh alike, phases, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers
from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import CombinedDecider, Confidence, RecurrentGates
from keras_dynamic.methods import DDI

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LABELS = np.arange(12) % 3


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def ddi(chain, **arguments):
    model = DDI(chain, **arguments)
    model.build((None, 8, 8, 3))
    return model


def spread(model, images):
    """Makes the LSTM decide by the image."""
    rng = np.random.default_rng(0)
    for layer in (*model.decider.projections.values(), model.decider.look, model.decider.score):
        for weight in layer.trainable_variables:
            weight.assign(rng.normal(0, 0.7, weight.shape))


@pytest.mark.parametrize("target", [None, 0.3])
def test_the_cost_is_the_mean_share_of_macs(target, toy_chain, toy_images):
    model, images = ddi(toy_chain(units=4), alpha=2.0, target=target), toy_images(12)
    spread(model, images)
    outcome = model.outcome(images, training=True)
    share = cost.given(model.cost_tree, {name: numpy(d) for name, d in outcome.decisions.items()})
    share = (share / model.cost_tree.total_macs).mean()
    assert 0 < share < 1
    found = float(model.outcome_losses(images, LABELS, outcome)["cost"])
    assert found == pytest.approx(2 * share if target is None else 2 * (share - 0.3) ** 2, rel=1e-5)


def test_the_balance_holds_rates_alike(toy_chain, toy_images):
    """Rates 1, 1/2 and 0 are 1/2, 0 and 1/2 off their mean: 4 * (1/4 + 1/4). Exits do not count."""
    exits = [layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)], "unit1", name="exit1")]
    decider = CombinedDecider([RecurrentGates(), Confidence()])
    model, images = ddi(toy_chain(units=4, exits=exits), decider=decider, balance=4.0), toy_images(4)
    model.compile("sgd", LOSS)
    rates = {"unit2": [1.0] * 4, "unit3": [1.0, 0.0, 0.0, 1.0], "unit4": [0.0] * 4}
    outcome = model.outcome(images, training=True)
    given = {name: keras.ops.array(values) for name, values in rates.items()}
    losses = model.outcome_losses(images, LABELS[:4], outcome._replace(conditional=outcome.conditional | given))
    assert float(losses["balance"]) == pytest.approx(2.0)
    assert "balance" not in ddi(toy_chain(units=4)).outcome_losses(images, LABELS[:4], outcome)


def test_another_unit_than_macs(toy_chain, toy_images):
    table = {"stem": 0.1, "unit1": 0.2, "unit2": 0.05, "unit3": 0.3, "unit4": 0.1, "head": 0.01, "decider": 0.04}
    model, images = ddi(toy_chain(units=4), table=table), toy_images(12)
    spread(model, images)
    outcome = model.outcome(images, training=True)
    spent = 0.35 + sum(table[name] * numpy(outcome.decisions[name]) for name in ("unit2", "unit3", "unit4"))
    found = float(model.outcome_losses(images, LABELS, outcome)["cost"])
    assert found == pytest.approx((spent / sum(table.values())).mean(), rel=1e-5)
    with pytest.raises(ValueError, match="the table lacks the parts"):
        ddi(toy_chain(units=4), table={"stem": 0.1})


def test_exits_weigh_as_much_as_the_deepest(toy_chain, toy_images):
    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    exits = [layers.Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = ddi(toy_chain(units=4, exits=exits), decider=CombinedDecider([RecurrentGates(), Confidence()]))
    model.compile("sgd", LOSS)
    images = toy_images(12)
    outcome = model.outcome(images, training=True)
    losses = model.outcome_losses(images, LABELS, outcome)
    deepest = float(LOSS(LABELS, outcome.logits))
    assert [float(losses[name]) for name in ("exit1", "exit2")] == pytest.approx([deepest, deepest], rel=1e-5)


@pytest.mark.ci
def test_gates_first_then_all(toy_chain, toy_images):
    model, images = ddi(toy_chain(units=4), alpha=5.0, target=0.5), toy_images(64)
    labels = np.arange(64) % 3
    before = [numpy(weight) for weight in model.chain.weights]
    model.freeze_network()
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    history = model.fit(images, labels, epochs=30, verbose=0, callbacks=[AnnealTarget(a=0.25, k=2)]).history
    for weight, old in zip(model.chain.weights, before, strict=True):
        np.testing.assert_array_equal(numpy(weight), old)
    share = history["macs_millions"][-1] * 1e6 / model.cost_tree.total_macs
    assert abs(share - 0.5) < 0.2
    model.freeze_network(False)
    model.compile(keras.optimizers.SGD(0.01), LOSS)
    model.fit(images, labels, epochs=1, verbose=0)
    assert any(np.any(numpy(weight) != old) for weight, old in zip(model.chain.weights, before, strict=True))


def test_what_was_frozen_before_stays_frozen(toy_chain):
    model = ddi(toy_chain(units=4))
    stem, unit = model.chain.stem, model.chain.units[1]
    stem.trainable = unit.trainable = False
    model.freeze_network()
    model.freeze_network()
    assert not model.chain.trainable_weights
    model.freeze_network(False)
    frozen = {id(weight) for part in (stem, unit) for weight in part.weights}
    assert frozen
    assert not frozen & {id(weight) for weight in model.chain.trainable_weights}
    assert model.chain.units[0].trainable_weights
    model.freeze_network(False)
    assert model.chain.units[0].trainable_weights
    assert not stem.trainable_weights


def test_what_was_frozen_when_saved_can_be_trained(toy_chain, tmp_path):
    model = ddi(toy_chain(units=4))
    everything = len(model.trainable_weights)
    model.freeze_network()
    model.save(tmp_path / "frozen.keras")
    loaded = keras.models.load_model(tmp_path / "frozen.keras")
    assert len(loaded.trainable_weights) < everything
    loaded.freeze_network(False)
    assert len(loaded.trainable_weights) == everything
    other = DDI(model.chain, model.decider)
    other.build((None, 8, 8, 3))
    other.freeze_network(False)
    assert len(other.trainable_weights) == everything


def test_saved_with_its_arguments(toy_chain, toy_images, tmp_path):
    model, images = ddi(toy_chain(units=4), alpha=3.0, target=0.4), toy_images(6)
    model.save(tmp_path / "ddi.keras")
    loaded = keras.models.load_model(tmp_path / "ddi.keras")
    assert (loaded.alpha, loaded.target, float(loaded.current_target)) == (3.0, 0.4, pytest.approx(0.4))
    np.testing.assert_allclose(numpy(loaded(images)), numpy(model(images)), atol=1e-6)


def test_arguments_that_cannot_be(toy_chain):
    with pytest.raises(ValueError, match="alpha must be a non-negative number, got -1"):
        DDI(toy_chain(units=3), alpha=-1)
    with pytest.raises(ValueError, match="balance must be a non-negative number, got -1"):
        DDI(toy_chain(units=3), balance=-1)
    with pytest.raises(ValueError, match="target must be"):
        DDI(toy_chain(units=3), target=2)
    with pytest.raises(ValueError, match="a penalty on the cost has no target to anneal"):
        ddi(toy_chain(units=3)).set_target_floor(1.0)
    with pytest.raises(ValueError, match="at least two units that can be skipped"):
        ddi(toy_chain(units=1))
    assert isinstance(DDI(toy_chain(units=3)).decider, deciders.RecurrentGates)
