"""Activation gating: its losses by hand, its targets, its errors, saving, and learning on TensorFlow and JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel, Outcome
from keras_dynamic.methods import ActivationGating
from tests.methods.learning import colours, learn

UNIT, FIXED = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12 + 3 * (4 * 16 + 16)  # MACs of a unit, and of what always runs


def gating(chain, **arguments):
    model = ActivationGating(chain, **arguments)
    model.build((None, 8, 8, 3))
    return model


def outcome_of(rates, batch=4):
    """An outcome in which each of three units ran for some of the images, with its cost."""
    decisions = {f"unit{k + 1}": np.float32(np.arange(batch) < rate * batch) for k, rate in enumerate(rates)}
    macs = FIXED + UNIT * sum(decisions.values())
    return Outcome(np.zeros((batch, 3), np.float32), {}, decisions, decisions, macs / (FIXED + 3 * UNIT))


RATES = (0.75, 0.25, 0.5)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"target": 0.6}, 0.1**2),
        ({"target": 0.4}, 0.1**2),
        ({"target": 0.6, "const_quad": True}, 0.0),
        ({"target": 0.4, "const_quad": True}, 0.1**2),
        ({"target": 0.6, "activation_weight": 3.0}, 3 * 0.1**2),
        ({"target": 0.6, "activation_loss": "per_gate"}, (0.15**2 + 0.35**2 + 0.1**2) / 3),
        (
            {"target": {"unit3": 1.0, "unit1": 0.75, "unit2": 0.0}, "activation_loss": "per_gate"},
            (0.25**2 + 0.5**2) / 3,
        ),
        (
            {"target": {"unit1": 0.5, "unit2": 0.5, "unit3": 0.5}, "activation_loss": "per_gate", "const_quad": True},
            0.25**2 / 3,
        ),
        ({"target": 0.6, "activation_loss": "macs"}, (0.6 - (FIXED + 1.5 * UNIT) / (FIXED + 3 * UNIT)) ** 2),
        ({"target": 0.9, "activation_loss": "macs", "const_quad": True}, 0.0),
    ],
)
def test_the_activation_loss_by_hand(arguments, wanted, toy_chain):
    model = gating(toy_chain(), **arguments)
    losses = model.outcome_losses(None, None, outcome_of(RATES))
    assert list(losses) == ["activation"]
    assert float(losses["activation"]) == pytest.approx(wanted, abs=1e-6)


def test_weight_decay_reaches_kernels_and_is_scaled_for_gates(toy_chain):
    model = gating(toy_chain(), weight_decay=0.01)
    losses = model.outcome_losses(None, None, outcome_of(RATES))
    kernels = [v for v in model.chain.trainable_variables if v.path.endswith("kernel")]
    assert len(kernels) == 1 + 3 * 2 + 1
    squares = sum(np.square(keras.ops.convert_to_numpy(v)).sum() for v in kernels)
    assert float(losses["weight_decay"]) == pytest.approx(0.5 * 0.01 * squares, rel=1e-5)
    gates = [keras.ops.convert_to_numpy(v) for v in model.decider.trainable_variables]
    assert len(gates) == 3 * 5
    wanted = 0.5 * (20 / 3) * 0.01 * sum(np.square(v).sum() for v in gates)
    assert float(losses["gate_weight_decay"]) == pytest.approx(wanted, rel=1e-5)


def test_distillation_from_another_network(toy_chain, toy_images):
    teacher = DynamicModel(toy_chain(seed=1))
    model = gating(toy_chain(), teacher=teacher, distillation_weight=0.5, distillation_temperature=2.0)
    images = toy_images(4)
    losses = model.outcome_losses(images, None, outcome_of(RATES))
    taught = keras.ops.convert_to_numpy(keras.ops.softmax(teacher(images) / 2.0))
    divergence = (taught * np.log(taught * 3)).sum(axis=-1).mean()  # the outcome's logits are all alike
    assert float(losses["distillation"]) == pytest.approx(0.5 * 4 * divergence, rel=1e-4)
    without = gating(toy_chain(), teacher=teacher, distillation_weight=0.0)
    assert "distillation" not in without.outcome_losses(images, None, outcome_of(RATES))


def test_the_losses_add_up_in_a_step(toy_chain, toy_images):
    gates = PerUnitGates(open_probability=1 - 1e-6, data_dependent=False)  # always open
    teacher = DynamicModel(toy_chain(seed=1))
    model = gating(toy_chain(), decider=gates, target=0.6, activation_weight=5.0, weight_decay=0.1, teacher=teacher)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(8), np.arange(8) % 3
    outcome = model.outcome(images, training=True)
    further = model.outcome_losses(images, labels, outcome)
    assert set(further) == {"activation", "distillation", "weight_decay", "gate_weight_decay"}
    assert float(further["activation"]) == pytest.approx(5 * 0.4**2, rel=1e-5)
    log_p = keras.ops.convert_to_numpy(keras.ops.log_softmax(outcome.logits))
    answered = -log_p[np.arange(8), labels].mean()
    logs = model.train_on_batch(images, labels, return_dict=True)
    assert logs["loss"] == pytest.approx(answered + sum(map(float, further.values())), rel=1e-4)


def test_the_targets_are_a_variable_that_is_not_trained(toy_chain):
    model = gating(toy_chain(), target=0.6)
    assert any(model.current_target is variable for variable in model.non_trainable_variables)
    model.set_target_floor(0.8)
    losses = model.outcome_losses(None, None, outcome_of(RATES))
    assert float(losses["activation"]) == pytest.approx(0.3**2, rel=1e-5)
    model.set_target_floor(0.1)
    assert float(keras.ops.convert_to_numpy(model.current_target)) == pytest.approx(0.6)
    model.set_target_floor(7.0)
    assert float(keras.ops.convert_to_numpy(model.current_target)) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 1.2}, r"target must be a number between 0 and 1, got 1\.2"),
        ({"target": -0.1}, r"target must be a number between 0 and 1, got -0\.1"),
        ({"target": None}, "target must be a number between 0 and 1, got None"),
        (
            {"target": {"unit1": 2.0}, "activation_loss": "per_gate"},
            r"target of 'unit1' must be a number between 0 and 1, got 2\.0",
        ),
        ({"target": {"unit1": 0.5}}, "a target per unit needs activation_loss='per_gate', got 'batch'"),
        ({"activation_weight": -1}, "activation_weight must be a non-negative number, got -1"),
        ({"activation_weight": "40"}, "activation_weight must be a non-negative number, got '40'"),
        ({"weight_decay": -1e-4}, "weight_decay must be a non-negative number, got -0.0001"),
        ({"distillation_weight": None}, "distillation_weight must be a non-negative number, got None"),
        ({"distillation_temperature": 0}, "distillation_temperature must be a positive number, got 0"),
        ({"activation_loss": "pergate"}, r"activation_loss must be one of .*'pergate' \(did you mean 'per_gate'\?\)"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message, toy_chain):
    with pytest.raises(ValueError, match=message):
        ActivationGating(toy_chain(), **arguments)


@pytest.mark.parametrize(
    "target", [{"unit1": 0.5, "unit2": 0.5}, {"unit1": 0.5, "unit2": 0.5, "unit3": 0.5, "unit4": 0.5}]
)
def test_targets_are_for_every_gate_and_no_other(target, toy_chain):
    message = r"one rate for each gated unit, got \['unit1', 'unit2'.*gated units are \['unit1', 'unit2', 'unit3'\]"
    with pytest.raises(ValueError, match=message):
        gating(toy_chain(), target=target, activation_loss="per_gate")


def test_a_chain_without_gates_is_an_error(toy_chain):
    with pytest.raises(ValueError, match="model 'gated' has nothing to decide: no unit of its chain can be skipped"):
        gating(toy_chain(units=1), decider=PerUnitGates(always=("unit1",)), name="gated")


def test_a_teacher_that_is_the_network_itself_is_an_error(toy_chain):
    network = DynamicModel(toy_chain(), name="network")
    with pytest.raises(
        ValueError, match=r"teacher 'network' shares weights with the network that learns from it; .*copy"
    ):
        gating(network.chain, teacher=network)


def test_saving_and_loading_in_a_fresh_process(toy_chain, toy_images, fresh_process):
    target = {"unit1": 1.0, "unit2": 0.5, "unit3": 0.25}
    model = gating(
        toy_chain(),
        decider=PerUnitGates(open_probability=0.6, seed=4),
        target=target,
        activation_loss="per_gate",
        teacher=DynamicModel(toy_chain(seed=1)),
    )
    model.decider.set_tau(0.55)
    images = toy_images(20)
    for training in (False, True):
        found = fresh_process(model, images, training)
        outcome = model.outcome(images, training=training)
        for name, value in outcome.decisions.items():
            np.testing.assert_array_equal(found[f"decisions {name}"], value)
        np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)


@pytest.mark.ci
def test_loading_keeps_arguments_targets_and_training(toy_chain, tmp_path):
    target = {"unit1": 1.0, "unit2": 0.5, "unit3": 0.25}
    arguments = {"target": target, "activation_loss": "per_gate", "const_quad": True, "activation_weight": 2.0}
    further = {"weight_decay": 0.1, "distillation_weight": 0.3, "distillation_temperature": 2.0}
    model = gating(toy_chain(), decider=PerUnitGates(seed=0), **arguments, **further)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.set_target_floor(0.4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is ActivationGating
    for name, value in {**arguments, **further}.items():
        assert getattr(loaded, name) == value
    np.testing.assert_allclose(loaded.current_target, [1.0, 0.5, 0.4])
    images, labels = colours(16)
    losses = [
        each.fit(images, labels, epochs=1, shuffle=False, verbose=0).history["loss"][0] for each in (model, loaded)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def check_learning(found):
    """What learn() says must hold on every backend."""
    assert found["rates"][0] > 0.75
    assert found["rates"][-1] == pytest.approx(0.5, abs=0.12)
    assert all(0.2 < chance < 0.8 for chance in found["chances"])  # each gate is held at its target
    assert found["losses"][-1] < found["losses"][0]
    fixed = FIXED - (4 * 16 + 16)  # of two gates
    for rate, macs in zip(found["rates"], found["macs"], strict=True):
        assert macs == pytest.approx(fixed + 2 * UNIT * rate, rel=1e-4)
    assert found["total"] == fixed + 2 * UNIT
    assert found["target"] == 0.5
    assert found["teacher_accuracy"] > 0.9
    assert found["accuracy"] > 0.95
    assert found["predicted_accuracy"] == pytest.approx(found["accuracy"])
    assert found["loaded_difference"] < 1e-5
    assert found["closed_rates"] == [0.0, 0.0]  # the compiled training step shows the tau of now, too


def test_it_learns_a_toy_problem(tmp_path):
    check_learning(learn(tmp_path))


@pytest.mark.ci
def test_it_learns_a_toy_problem_on_jax():
    script = Path(__file__).with_name("learning.py")
    root = str(script.parents[2])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    check_learning(found)
