"""Learned exits: the losses by hand, learning on TensorFlow and JAX, export, errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import lite
from keras_dynamic.deciders import CombinedDecider, ExitGates, PerUnitGates
from keras_dynamic.layers import Always, Exit
from keras_dynamic.methods import LearnedExits
from tests.methods.exiting import learn, learner, with_exit
from tests.methods.learning import colours


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def cross_entropy(logits, labels):
    logits = array(logits).astype(np.float64)
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


@pytest.fixture
def model(toy_chain):
    """Two exits; gates that go on with probability 0.7 and 0.6."""
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    made = LearnedExits(
        toy_chain(units=3, exits=exits),
        ExitGates((4,), open_probability=0.7, seed=0),
        target={"exit1": 0.6, "exit2": 0.9},
        exit_weights=[0.5, 2.0],
        rate_weight=3.0,
    )
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.build((None, 8, 8, 3))
    return made


def test_losses_are_as_by_hand(model, toy_images):
    images, labels = toy_images(32), np.arange(32) % 3
    outcome = model.outcome(images, training=True)
    losses = {name: float(value) for name, value in model.outcome_losses(images, labels, outcome).items()}
    assert list(losses) == ["exit1", "exit2", "exit_rates"]
    assert losses["exit1"] == pytest.approx(0.5 * cross_entropy(outcome.exits["exit1"], labels), rel=1e-5)
    assert losses["exit2"] == pytest.approx(2.0 * cross_entropy(outcome.exits["exit2"], labels), rel=1e-5)
    first, second = (array(outcome.decisions[name]) for name in ("exit1", "exit2"))
    assert 0 < second.sum() < first.sum() < 32
    short = [0.6 - (1 - first.mean()), 0.9 - (1 - second.sum() / first.sum())]
    wanted = 3.0 * np.mean(np.maximum(short, 0) ** 2)
    assert losses["exit_rates"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.ci
def test_the_answer_at_which_an_image_stops_teaches_the_gates(toy_images):
    model = learner(rate_weight=0.0, exit_weights=[0.0])
    model.build((None, 8, 8, 3))
    gate = model.decider.gates["early"].layers[-1]
    before = array(gate.bias)
    model.train_on_batch(toy_images(32), np.arange(32) % 3)
    assert np.abs(array(gate.bias) - before).max() > 0


def test_annealing_raises_the_target(model):
    np.testing.assert_allclose(model.going_target, [0.4, 0.1], rtol=1e-6)
    model.set_target_floor(0.8)
    np.testing.assert_allclose(model.going_target, 0.8, rtol=1e-6)
    model.set_target_floor(0.3)
    np.testing.assert_allclose(model.going_target, [0.4, 0.3], rtol=1e-6)


def check_learning(found):
    assert found["losses"][-1] < found["losses"][0]
    assert found["going"][0] > 0.8
    assert found["target"] == found["loaded_target"] == 0.5
    assert found["going"][-1] < 0.65
    assert found["accuracy"] > 0.9
    assert found["loaded_difference"] < 1e-5


@pytest.mark.ci
def test_gates_learn(tmp_path):
    check_learning(learn(tmp_path))


@pytest.mark.ci
def test_gates_learn_on_jax():
    script = Path(__file__).with_name("exiting.py")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    check_learning(found)


@pytest.mark.ci
def test_it_exports_and_a_file_computes_one_answer():
    model = learner(target=0.5)
    images, labels = colours(64)
    model.fit(images, labels, verbose=0)
    chances = array(model.outcome(images).probabilities["early"])
    model.decider.set_tau(float(np.median(chances)))
    exported = lite.export(model, outputs=("logits", "decisions"))
    outcome, runner = model.outcome(images), lite.Interpreter(exported)
    found = [runner.run(image) for image in images[:16]]
    np.testing.assert_allclose(np.concatenate([each["logits"] for each in found]), outcome.logits[:16], atol=1e-4)
    decisions = np.concatenate([each["decisions"] for each in found])[:, 0]
    np.testing.assert_array_equal(decisions, array(outcome.decisions["early"])[:16])
    assert lite.verify(exported).macs_all_on == model.cost_tree.total_macs


def test_gates_of_units_may_stand_beside_those_of_exits(toy_images):
    model = LearnedExits(with_exit(), CombinedDecider([PerUnitGates(), ExitGates((4,))]), target={"early": 0.4})
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build((None, 8, 8, 3))
    assert model.exit_names == ["early"]
    outcome = model.outcome(toy_images(8), training=True)
    assert list(model.outcome_losses(toy_images(8), np.arange(8) % 3, outcome)) == ["early", "exit_rates"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 1.5}, "target must be a number between 0 and 1, got 1.5"),
        ({"target": {"early": -1}}, "target of 'early' must be a number between 0 and 1"),
        ({"target": {"late": 0.5}}, r"target must have one share for each decided exit, got \['late'\]; .*\['early'\]"),
        ({"exit_weights": [1, 1]}, r"exit_weights must be 1 numbers, one for each exit, got \[1, 1\]"),
        ({"exit_weights": [-1]}, "exit_weights must be a non-negative number, got -1"),
        ({"rate_weight": -1}, "rate_weight must be a non-negative number, got -1"),
        ({"decider": PerUnitGates()}, "LearnedExits needs exits that are decided, but PerUnitGates decides none"),
        ({"decider": Always()}, "LearnedExits needs exits that are decided, but Always decides none"),
    ],
)
def test_what_cannot_be_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearnedExits(with_exit(), **{"decider": ExitGates((4,)), **arguments}).build((None, 8, 8, 3))
