"""What fit shows of decisions: those that inference would make of the batch, however training samples them."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import (
    CombinedDecider,
    Confidence,
    ExitGates,
    PerUnitGates,
    Policy,
    SequentialPolicy,
    Stochastic,
)
from keras_dynamic.layers import Decider, DynamicModel, Exit
from keras_dynamic.models import cascade
from tests.layers.grouped import GROUP, HEAD, STEM, as_numpy, guarded

UNIT, REST = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12  # MACs of a unit of the toy chain, and of its stem and head
GATE = 4 * 16 + 16
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def built(chain, decider):
    model = DynamicModel(chain, decider)
    model.build((None, 8, 8, 3))
    return model


def shown(model, images, **fit):
    """One step of fit without learning; returns (activation_rate, macs_millions) that it shows."""
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    labels = np.arange(len(images)) % 3
    logs = model.fit(images, labels, batch_size=len(images), shuffle=False, verbose=0, **fit).history
    return logs["activation_rate"][0], logs["macs_millions"][0]


@pytest.fixture
def watched(monkeypatch):
    """Function (model, images) -> (what fit shows of a step without learning, the step's Outcome in NumPy)."""
    seen = []
    update = DynamicModel.compute_metrics

    def keeping(self, x, y, y_pred, sample_weight=None):
        seen[:] = [y_pred]
        return update(self, x, y, y_pred, sample_weight)

    monkeypatch.setattr(DynamicModel, "compute_metrics", keeping)

    def step(model, images):
        model.compile(keras.optimizers.SGD(0.0), LOSS, run_eagerly=True)
        logs = model.train_on_batch(images, np.arange(len(images)) % 3, return_dict=True)
        outcome = keras.tree.map_structure(keras.ops.convert_to_numpy, seen[0])
        return (float(logs["activation_rate"]), float(logs["macs_millions"])), outcome

    return step


def say(gates, **chances):
    """Gives gates, each by the unit or exit that it is before, one chance for all images."""
    for name, chance in chances.items():
        gate, odds = gates.gates[name], np.log(chance) - np.log1p(-np.asarray(chance))
        if isinstance(gate, keras.Sequential):
            gate, odds = gate.layers[-1], np.atleast_1d(odds)
        else:
            odds = np.concatenate([np.zeros(np.size(odds)), np.atleast_1d(odds)])
        gate.kernel.assign(0 * gate.kernel)
        gate.bias.assign(odds)


@pytest.mark.parametrize("arguments", [{}, {"hard": False}, {"noise": False}, {"tau": 0.3}])
def test_the_rate_is_the_share_of_probabilities_over_tau(arguments, watched, spread_gates, toy_chain, toy_images):
    images, tau = toy_images(32), arguments.get("tau", 0.5)
    model = built(toy_chain(), PerUnitGates(seed=0, **arguments))
    spread_gates(model, images)
    (rate, macs), outcome = watched(model, images)
    opened = np.stack(list(outcome.probabilities.values())) > tau
    assert 0 < opened.mean() < 1
    assert rate == pytest.approx(opened.mean(), rel=1e-6)
    assert macs == pytest.approx((REST + 3 * GATE + UNIT * opened.sum(axis=0).mean()) / 1e6, rel=1e-6)
    if "noise" not in arguments:
        assert abs(rate - np.mean(list(outcome.decisions.values()))) > 0.01


@pytest.mark.parametrize(("tau", "opened"), [(0.0, 3), (0.45, 2), (0.65, 1), (1.0, 0)])
def test_compiled_steps_show_the_tau_of_now(tau, opened, toy_chain, toy_images):
    model = built(toy_chain(), PerUnitGates(seed=0))
    say(model.decider, unit1=0.4, unit2=0.5, unit3=0.7)
    shown(model, toy_images(8))
    model.decider.set_tau(tau)
    logs = model.fit(toy_images(8), np.arange(8) % 3, verbose=0).history
    assert logs["activation_rate"] == pytest.approx([opened / 3])
    assert logs["macs_millions"] == pytest.approx([(REST + 3 * GATE + opened * UNIT) / 1e6])


def test_validation_and_evaluation_show_what_inference_decides(toy_chain, toy_images):
    images, labels = toy_images(12), np.arange(12) % 3
    model = built(toy_chain(), PerUnitGates(seed=0))
    say(model.decider, unit1=0.4, unit2=0.6, unit3=0.6)
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    logs = model.fit(images, labels, validation_data=(images, labels), verbose=0).history
    assert logs["activation_rate"] == logs["val_activation_rate"] == pytest.approx([2 / 3])
    assert logs["macs_millions"] == logs["val_macs_millions"] == pytest.approx([(REST + 3 * GATE + 2 * UNIT) / 1e6])
    assert model.outcome(images).inferred == {}


def test_mixed_precision(toy_chain, toy_images):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = built(toy_chain(), PerUnitGates(seed=0))
        say(model.decider, unit1=0.4, unit2=0.502, unit3=0.6)
        rate, macs = shown(model, toy_images(8))
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert rate == pytest.approx(2 / 3)
    assert macs == pytest.approx((REST + 3 * GATE + 2 * UNIT) / 1e6)


def test_frozen_decisions_stay(toy_chain, toy_images):
    model = built(toy_chain(), PerUnitGates(frozen={"unit1": True, "unit2": False}, tau=1.0))
    assert shown(model, toy_images(8)) == pytest.approx((1 / 3, (REST + GATE + UNIT) / 1e6))


@pytest.mark.parametrize(("whole", "groups"), [(0.6, 2), (0.4, 0)])
def test_groups_count_where_inference_would_run_the_unit(whole, groups, watched, toy_images):
    """A unit that runs with a chance, and groups of which two would run in it; the other unit is skipped."""
    images = toy_images(32)
    model = guarded(images)
    by_group, by_unit = model.decider.deciders
    say(by_unit, unit1=whole, unit2=0.1)
    say(by_group, unit1=[0.6, 0.4, 0.7], unit2=[0.9, 0.9, 0.9])
    (rate, macs), outcome = watched(model, images)
    ran = whole > 0.5
    assert 0 < outcome.decisions["unit1"].mean() < 1
    assert rate == pytest.approx((ran + groups) / 8)
    gates = 2 * (4 * 8 + 4) + ran * (4 * 8 + 4 * 3)  # those on groups are computed where the unit runs
    assert macs == pytest.approx((STEM + HEAD + gates + GROUP * (ran + groups)) / 1e6)


def test_units_after_an_exit_count_for_images_that_inference_lets_go_on(watched, toy_chain, toy_images):
    images = toy_images(32)
    early = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")
    gates, exits = PerUnitGates(seed=0), ExitGates((4,), seed=1)
    model = built(toy_chain(exits=[early]), CombinedDecider([gates, exits]))
    say(gates, unit1=1 - 1e-9, unit2=0.6, unit3=0.4)
    last = exits.gates["early"].layers[-1]
    last.kernel.assign(np.random.default_rng(0).normal(0, 0.3, last.kernel.shape))
    last.bias.assign([0.0])
    chances = as_numpy(model.outcome(images, training=True).probabilities)["early"]
    last.bias.assign([-np.median(np.log(chances / (1 - chances)))])
    (rate, macs), outcome = watched(model, images)
    going = outcome.probabilities["early"] > 0.5
    assert going.mean() == 0.5
    assert (going != outcome.decisions["early"]).any()
    wanted = {"unit1": np.ones(32), "early": going, "unit2": going, "unit3": np.zeros(32)}
    assert rate == pytest.approx(np.mean(list(wanted.values())))
    always = model.cost_tree.total_macs - 2 * (UNIT + GATE)  # the exit's classifier costs as much as the head
    assert macs == pytest.approx((always + 0.5 * (2 * GATE + UNIT)) / 1e6)
    for name, value in wanted.items():
        np.testing.assert_array_equal(outcome.inferred[name], value)


@pytest.mark.parametrize("given", [None, 1.0])
def test_given_decisions_infer_nothing(given, toy_chain, toy_images):
    model = built(toy_chain(), PerUnitGates(seed=0))
    decisions = None if given is None else dict.fromkeys(model.decision_names, np.ones(6, np.float32))
    inferred = model.outcome(toy_images(6), decisions, training=True).inferred
    assert list(inferred) == ([] if given else model.decision_names)


def test_a_network_inside_a_unit(watched, toy_chain, toy_images):
    """Of a cascade whose second network has gates: some images stop after the first."""
    images = toy_images(32)
    second = built(toy_chain(), PerUnitGates(seed=0))
    say(second.decider, unit1=0.6, unit2=0.4, unit3=0.7)
    model = cascade([built(toy_chain(units=1, width=2), None), second])
    first = as_numpy({"logits": model.networks[0](images, training=True)})["logits"]
    chances = np.exp(first) / np.exp(first).sum(axis=1, keepdims=True)
    model.decider.set_thresholds([float(np.median(chances.max(axis=1)))])
    (rate, macs), outcome = watched(model, images)
    unit, *inside = model.decision_names
    going = outcome.decisions[unit]
    assert 0 < going.mean() < 1
    assert rate == pytest.approx(going.mean() * 3 / 4)
    assert macs == pytest.approx(
        (model.networks[0].cost_tree.total_macs + going.mean() * (REST + 3 * GATE + 2 * UNIT)) / 1e6
    )
    np.testing.assert_array_equal(outcome.inferred[inside[1]], np.zeros(32))
    np.testing.assert_array_equal(outcome.inferred_conditional[inside[0]], np.ones(32))


def test_a_network_inside_that_does_not_train(watched, toy_chain, toy_images, monkeypatch):
    """Its decisions are those of inference then, and count where inference would run the unit."""
    second = built(toy_chain(), PerUnitGates(seed=0))
    say(second.decider, unit1=0.6, unit2=0.4, unit3=0.7)
    chain = cascade([built(toy_chain(units=1, width=2), None), second]).chain
    model = built(
        chain, Policy(keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(1, bias_initializer="ones")]))
    )
    monkeypatch.setattr(model, "_layers_train", lambda training: False)
    model.decider.network.layers[-1].kernel.assign(np.zeros((3, 1)))
    (rate, _), outcome = watched(model, toy_images(32))
    unit, *inside = model.decision_names
    assert 0 < outcome.decisions[unit].mean() < 1
    assert rate == pytest.approx(3 / 4)
    assert [outcome.inferred[name].mean() for name in inside] == [1.0, 0.0, 1.0]
    outcome = model.outcome(toy_images(4), training=True, deciding=False)
    assert (outcome.inferred, outcome.inferred_conditional) == ({}, {})


class Shared(Decider):
    """Two units obey one decision, random in training; the groups of the second are decided too."""

    def decision_of(self, name):
        return "both" if name in ("unit1", "unit2") else name

    def choose(self, chain):
        return ["both", "unit2[1]"]

    def decide(self, k, x, carry, training=None):
        decided = {"both": keras.ops.cast(keras.ops.arange(len(x)) % 2, "bool")} if k == 0 else {"unit2[1]": True}
        return decided, dict.fromkeys(decided, 0.25), carry

    def inferred(self, name, decision, probability):
        return True


def test_a_decision_that_is_made_before_an_earlier_unit(watched, toy_images):
    images = toy_images(8)
    model = built(guarded(images).chain, Shared())
    (rate, macs), outcome = watched(model, images)
    assert {name: value.mean() for name, value in outcome.decisions.items()} == {"both": 0.5, "unit2[1]": 0.5}
    assert (rate, macs) == pytest.approx((1.0, (STEM + 8 * GROUP + HEAD) / 1e6))


class Soft(Decider):
    """Decides by a fraction, and says nothing of inference."""

    def decide(self, k, x, carry, training=None):
        decided = {self.unit_names[k]: keras.ops.full((len(x),), 0.25 * (k + 1))}
        return decided, decided, carry


def test_by_default_it_is_the_decision_that_was_made(watched, toy_chain, toy_images):
    (rate, macs), outcome = watched(built(toy_chain(units=2), Soft()), toy_images(8))
    assert rate == pytest.approx(0.375)
    assert macs == pytest.approx((REST + 0.75 * UNIT) / 1e6)
    assert outcome.cost.mean() * (REST + 2 * UNIT) / 1e6 == pytest.approx(macs)


def test_what_is_random_in_inference_stays_random(watched, toy_chain, toy_images):
    gates = PerUnitGates(seed=0)
    model = built(toy_chain(), Stochastic(gates, seed=0))
    say(gates, unit1=0.4, unit2=0.6, unit3=0.5)
    (rate, _), outcome = watched(model, toy_images(32))
    assert rate == pytest.approx(np.mean(list(outcome.decisions.values())))


@pytest.mark.parametrize("confidence", ["max_probability", "margin"])
def test_thresholds_on_confidence_are_those_of_inference(confidence, watched, toy_chain, toy_images):
    early = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")
    model = built(toy_chain(exits=[early]), Confidence(confidence))
    model.decider.set_thresholds([0.5])
    (rate, macs), outcome = watched(model, toy_images(32))
    assert rate == outcome.decisions["early"].mean()
    assert macs == pytest.approx(outcome.cost.mean() * model.cost_tree.total_macs / 1e6)


@pytest.mark.parametrize(("kind", "macs"), [(Policy, 9), (SequentialPolicy, 12)])
def test_units_that_a_curriculum_holds_open_run(kind, macs, toy_chain, toy_images):
    if kind is Policy:
        network = keras.Sequential([layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D(), layers.Dense(3)])
        model = built(toy_chain(), Policy(network, seed=0))
        last = network.layers[-1]
        last.set_weights([0 * last.get_weights()[0], np.float32([-0.5, -0.5, 0.5])])
    else:
        model = built(toy_chain(), SequentialPolicy(seed=0))
        for score, bias in zip(model.decider.scores.values(), (-0.5, -0.5, 0.5), strict=True):
            score.layers[-1].set_weights([np.zeros((4, 1)), np.float32([bias])])
    for opened, running in ((2, 2), (3, 1), (None, 1)):
        model.decider.open_last(opened)
        wanted = running / 3, (REST + macs + running * UNIT) / 1e6
        assert shown(model, toy_images(64)) == pytest.approx(wanted, rel=1e-5)
    model.decider.open_last(1)
    model.decider.set_tau(1.0)
    assert shown(model, toy_images(64))[0] == pytest.approx(2 / 3)
