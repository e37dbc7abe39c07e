"""SkipNet: its gradient against that of the expected reward, stages, bad input."""

import itertools

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates, RecurrentGates
from keras_dynamic.layers import masked
from keras_dynamic.methods import SkipNet

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CHANCES = (0.3, 0.6, 0.8)
ALPHA, LABEL, DRAWS = 2.0, 1, 20_000


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture
def free(toy_chain):
    """A model in the hybrid stage whose three gates read nothing, with known probabilities."""

    def make(**arguments):
        gates = PerUnitGates(data_dependent=False)
        model = SkipNet(toy_chain(units=3), gates, "hybrid", ALPHA, seed=1, **arguments)
        model.build((None, 8, 8, 3))
        for gate, chance in zip(gates.gates.values(), CHANCES, strict=True):
            gate.logits.assign([0.0, np.log(chance / (1 - chance))])
        model.compile("sgd", LOSS)
        return model

    return make


def expected_gradient(model, image):
    """The gradient of E[loss - alpha x share skipped] by each gate's logit, summed over the eight paths."""
    chances, gradient = np.array(CHANCES), np.zeros(3)
    for path in itertools.product((0, 1), repeat=3):
        taken = np.array(path)
        decisions = dict(zip(model.decision_names, taken[:, None], strict=True))
        logits = model.outcome(image, decisions, training=False).logits
        objective = float(LOSS(np.array([LABEL]), logits)) - ALPHA * (1 - taken).mean()
        probability = np.prod(np.where(taken, chances, 1 - chances))
        gradient += probability * objective * (taken - chances)  # of the log-probability, by the logit
    return gradient


@pytest.mark.parametrize("baseline", [True, False])
def test_gates_follow_the_expected_reward(baseline, free, toy_images):
    import tensorflow as tf

    model, image = free(baseline=baseline), toy_images(1)
    images = np.repeat(image, DRAWS, axis=0)
    with tf.GradientTape() as tape:
        outcome = model.outcome(images, training=False, deciding=True, executor=model.executor(True))
        loss = model.outcome_losses(images, np.full(DRAWS, LABEL), outcome)["policy"]
    variables = [gate.logits.value for gate in model.decider.gates.values()]
    found = np.array([numpy(each)[1] for each in tape.gradient(loss, variables)])
    wanted = expected_gradient(model, image)
    assert np.abs(wanted).min() > 0.02
    np.testing.assert_allclose(found, wanted, atol=0.015)
    rates = [float(numpy(outcome.decisions[name]).mean()) for name in model.decision_names]
    np.testing.assert_allclose(rates, CHANCES, atol=0.015)


def test_a_drawn_decision_has_no_gradient(free, toy_images):
    import tensorflow as tf

    model, images = free(), toy_images(8)
    with tf.GradientTape() as tape:
        outcome = model.outcome(images, training=False, deciding=True, executor=model.executor(True))
        loss = LOSS(np.arange(8) % 3, outcome.logits)
    assert all(
        each is None for each in tape.gradient(loss, [gate.logits.value for gate in model.decider.gates.values()])
    )
    supervised = SkipNet(model.chain, model.decider)
    assert model.executor(False) is supervised.executor(True) is masked


def test_frozen_gates_are_not_drawn(toy_chain, toy_images):
    gates = PerUnitGates(frozen={"unit1": True, "unit2": False})
    model = SkipNet(toy_chain(units=3), gates, "hybrid")
    model.compile("sgd", LOSS)
    images, labels = toy_images(16), np.arange(16) % 3
    assert np.isfinite(model.fit(images, labels, verbose=0).history["loss"]).all()
    decisions = model.outcome(images, training=True, executor=model.executor(True)).decisions
    assert [float(numpy(decisions[name]).mean()) for name in ("unit1", "unit2")] == [1, 0]


@pytest.mark.ci
def test_first_supervised_then_hybrid(toy_chain, toy_images):
    images, labels = toy_images(128), np.arange(128) % 3
    model = SkipNet(toy_chain(units=4))
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    model.fit(images, labels, epochs=2, verbose=0)
    assert isinstance(model.decider, RecurrentGates)
    tuned = SkipNet(model.chain, model.decider, stage="hybrid", alpha=20.0)
    tuned.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    history = tuned.fit(images, labels, epochs=30, verbose=0).history["activation_rate"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stage": "hybird"}, r"stage must be one of .*got 'hybird' \(did you mean 'hybrid'\?\)"),
        ({"alpha": -1}, "alpha must be a non-negative number, got -1"),
    ],
)
def test_bad_input(arguments, words, toy_chain):
    with pytest.raises(ValueError, match=words):
        SkipNet(toy_chain(), **arguments)
