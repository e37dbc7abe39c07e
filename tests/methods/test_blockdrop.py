"""BlockDrop: its loss by hand, its step, what each stage trains, its errors, saving, and learning on both backends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import Curriculum
from keras_dynamic.deciders import PerUnitGates, Policy, SequentialPolicy
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.methods import BlockDrop
from tests.methods.dropping import LOSS, GivenDraws, learn, one_step, policy_network
from tests.methods.learning import colours

ROOT = Path(__file__).parents[2]


def blockdrop(chain, policy=None, **arguments):
    model = BlockDrop(chain, Policy(policy_network(3), seed=0) if policy is None else policy, **arguments)
    model.build((None, 8, 8, 3))
    return model


def certain_policy(logits):
    """A policy that gives every image the same logits."""
    network = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, kernel_initializer="zeros")]
    )
    network.build((None, 8, 8, 3))
    network.layers[-1].bias.assign(logits)
    return network


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_the_loss_by_hand(toy_chain, toy_images):
    """Given draws, the loss is worked out from rewards of two runs of the chain under decisions given from outside."""
    policy = GivenDraws(certain_policy([1.0, -0.5, 2.0]))
    model = blockdrop(toy_chain(), policy, gamma=3.0, policy_weight=0.7, entropy_weight=0.1)
    images, labels = toy_images(16), np.arange(16) % 3
    outcome = model.outcome(images, training=True)
    losses = {name: float(value) for name, value in model.outcome_losses(images, labels, outcome).items()}

    s = 1 / (1 + np.exp(-np.array([1.0, -0.5, 2.0])))
    bounded = 0.8 * s + 0.2 * (1 - s)
    draws = np.random.default_rng(5).random((16, 3)).astype(np.float32)
    sampled, greedy = np.float32(draws < bounded), np.float32([[1, 0, 1]] * 16)

    def reward(decisions):
        given = {f"unit{k + 1}": decisions[:, k] for k in range(3)}
        logits = array(DynamicModel(model.chain, policy).outcome(images, given, training=False).logits)
        return np.where(logits.argmax(-1) == labels, 1 - decisions.mean(axis=1) ** 2, -3.0)

    logs = (sampled * np.log(bounded) + (1 - sampled) * np.log(1 - bounded)).sum(axis=1)
    entropy = -(bounded * np.log(bounded) + (1 - bounded) * np.log(1 - bounded)).sum()
    assert len(np.unique(sampled, axis=0)) > 3
    np.testing.assert_array_equal(np.stack([array(v) for v in outcome.decisions.values()], 1), sampled)
    assert losses["policy"] == pytest.approx(-0.7 * np.mean((reward(sampled) - reward(greedy)) * logs), rel=1e-4)
    assert losses["entropy"] == pytest.approx(-0.1 * entropy, rel=1e-4)


@pytest.mark.parametrize(("tau", "opened"), [(0.8, None), (0.2, None), (0.99, 2), (0.0, None), (1.0, None)])
@pytest.mark.parametrize("made", [Policy, SequentialPolicy])
def test_the_baseline_is_what_inference_does_at_any_threshold(made, tau, opened, toy_chain, toy_images):
    """At probabilities 0.73, 0.38 and 0.88: what counts as running is decided by tau, here as in inference."""
    policy = Policy(certain_policy([1.0, -0.5, 2.0]), seed=0) if made is Policy else SequentialPolicy(seed=0)
    model, images = blockdrop(toy_chain(), policy, usage=0.5, hold="units"), toy_images(8)
    policy.set_tau(tau)
    policy.open_last(opened)
    greedy = model._most_probable(images, model.outcome(images, training=True))
    for name, decision in model.outcome(images, training=False).decisions.items():
        np.testing.assert_array_equal(array(greedy.decisions[name]), array(decision))
    if made is Policy and tau == 0.8:
        assert [array(each)[0] for each in greedy.decisions.values()] == [0.0, 0.0, 1.0]


def losses_of(model, images, labels):
    outcome = model.outcome(images, training=True)
    return {name: float(value) for name, value in model.outcome_losses(images, labels, outcome).items()}


def test_gamma_follows_usage(toy_chain, toy_images):
    """All three units run where 2 of 3 are wanted: the penalty is 3 exp(15 (2/3 - 1)), rewards over 1 + penalty."""
    draws = GivenDraws(certain_policy([1.0, 1.0, 1.0]))
    images, labels = toy_images(16), np.arange(16) % 3
    chain = toy_chain()
    held = blockdrop(chain, draws, gamma=3.0, usage=2 / 3)
    penalty = 3.0 * np.exp(15 * (2 / 3 - 1))
    fixed = blockdrop(chain, draws, gamma=penalty)
    wanted = losses_of(fixed, images, labels)["policy"] / (1 + penalty)
    assert losses_of(held, images, labels)["policy"] == pytest.approx(wanted, rel=1e-4)


def test_units_are_held_by_the_share_of_images_that_run_them(toy_chain, toy_images):
    """Rates 1, 0, 1 against 0.5, 0.25, 1: 8 x (0.25 + 0.0625 + 0) / 3; the gradient goes to the probabilities."""
    usage = {"unit3": 1.0, "unit1": 0.5, "unit2": 0.25}
    model = blockdrop(toy_chain(), Policy(certain_policy([2.0, -2.0, 3.0])), usage=usage, hold="units", hold_strength=8)
    images, labels = toy_images(4), np.arange(4) % 3
    assert losses_of(model, images, labels)["usage"] == pytest.approx(8 * 0.3125 / 3, rel=1e-5)
    model.set_target_floor(0.75)
    np.testing.assert_allclose(array(model.current_usage), [0.75, 0.75, 1.0])
    assert losses_of(model, images, labels)["usage"] == pytest.approx(8 * (0.0625 + 0.5625) / 3, rel=1e-5)
    model.policy_weight = 0.0
    found = step_of(model, images, labels)
    before, after = found[model.decider.network.layers[-1].bias.path]
    s = 1 / (1 + np.exp(-before))
    slope = 8 * 2 / 3 * np.array([1 - 0.75, 0 - 0.75, 0.0]) * s * (1 - s)
    np.testing.assert_allclose(before - after, 0.1 * slope, rtol=1e-3, atol=1e-6)


def test_units_that_a_curriculum_keeps_closed_count_as_run(toy_chain, toy_images):
    images, labels = toy_images(16), np.arange(16) % 3
    chain, draws = toy_chain(), GivenDraws(certain_policy([1.0, 1.0, 1.0]))
    draws_held = blockdrop(chain, draws, gamma=3.0, usage=0.4)
    draws.open_last(1)
    penalty = 3.0 * np.exp(15 * ((1 + 1 + 0.4) / 3 - 1))
    fixed = blockdrop(chain, draws, gamma=penalty)
    wanted = losses_of(fixed, images, labels)["policy"] / (1 + penalty)
    assert losses_of(draws_held, images, labels)["policy"] == pytest.approx(wanted, rel=1e-4)

    model = blockdrop(toy_chain(), Policy(certain_policy([1.0, 1.0, 1.0])), usage=0.4, hold="units", policy_weight=0.0)
    model.decider.open_last(1)
    before, after = step_of(model, images, labels)[model.decider.network.layers[-1].bias.path]
    np.testing.assert_array_equal((before - after)[:2], 0.0)
    assert after[2] < before[2]


@pytest.mark.parametrize("labels", [np.arange(6) % 3, np.arange(6)[:, None] % 3, np.eye(3)[np.arange(6) % 3]])
def test_labels_may_be_a_vector_a_column_or_one_hot(labels, toy_chain, toy_images):
    model, images = blockdrop(toy_chain(), Policy(certain_policy([1.0] * 3))), toy_images(6)
    outcome = model.outcome(images)
    wanted = np.where(array(outcome.logits).argmax(-1) == np.arange(6) % 3, 0.0, -5.0)
    np.testing.assert_allclose(array(model._reward(outcome, labels, 5.0)), wanted)


def step_of(model, images, labels):
    """Weights before and after one step of SGD, {path: (before, after)}."""
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    before = {variable.path: array(variable) for variable in model.variables}
    model.train_on_batch(images, labels)
    return {variable.path: (before[variable.path], array(variable)) for variable in model.variables}


def moved(found, part, *endings):
    return {
        path
        for path, (before, after) in found.items()
        if part in path and path.endswith(endings) and np.abs(before - after).max() > 0
    }


def test_the_curriculum_trains_the_policy_alone(toy_chain, toy_images):
    model = blockdrop(toy_chain(), gamma=3.0)
    found = step_of(model, toy_images(16), np.arange(16) % 3)
    chain = {variable.path for variable in model.chain.variables}
    changed = moved(found, "", "")
    assert not changed & chain
    assert changed & {variable.path for variable in model.decider.trainable_variables}
    assert int(model.decider.steps) == 1


def test_finetuning_trains_both_and_moves_statistics_once(toy_chain, toy_images):
    first = blockdrop(toy_chain())
    model = blockdrop(first.chain, first.decider, stage="finetuning")
    images, labels = toy_images(16), np.arange(16) % 3
    norm = model.chain.stem.layers[2]
    features = model.chain.stem.layers[1](model.chain.stem.layers[0](keras.ops.convert_to_tensor(images)))
    wanted = 0.9 * array(norm.moving_mean) + 0.1 * array(features).mean(axis=(0, 1, 2))
    found = step_of(model, images, labels)
    np.testing.assert_allclose(array(norm.moving_mean), wanted, rtol=1e-4, atol=1e-5)
    chain = {variable.path for variable in model.chain.trainable_variables}
    assert chain
    assert chain <= moved(found, "", "")


def test_frozen_batch_norm_keeps_statistics_scales_and_offsets(toy_chain, toy_images):
    model = blockdrop(toy_chain(), stage="finetuning", batch_norm="frozen")
    found = step_of(model, toy_images(16), np.arange(16) % 3)
    changed = moved(found, "", "") & {variable.path for variable in model.chain.variables}
    assert changed
    assert all(path.endswith(("kernel", "bias")) for path in changed)


@pytest.mark.ci
@pytest.mark.parametrize("stage", [pytest.param("curriculum", marks=pytest.mark.ci), "finetuning"])
def test_the_written_out_step_is_keras_own(stage, toy_chain, monkeypatch):
    before, after = one_step(toy_chain(), stage)
    monkeypatch.setattr(BlockDrop, "train_step", DynamicModel.train_step)
    _same, reference = one_step(toy_chain(), stage, before)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(before, after, strict=True))
    for mine, theirs in zip(after, reference, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.ci
@pytest.mark.parametrize("stage", ["curriculum", "finetuning"])
def test_gradients_equal_those_on_jax(stage, toy_chain, tmp_path):
    """One step of SGD at rate 1 from the same weights and draws: the weights move by minus the gradient."""
    before, after = one_step(toy_chain(), stage)
    np.savez(tmp_path / "before.npz", *before)
    script = Path(__file__).with_name("blockdrop_on_jax.py")
    arguments = [stage, str(tmp_path / "before.npz"), str(tmp_path / "after.npz")]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, *arguments], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "after.npz") as file:
        others = [file[name] for name in file.files]
    for start, mine, theirs in zip(before, after, others, strict=True):
        np.testing.assert_allclose(mine - start, theirs - start, rtol=1e-3, atol=2e-5)


def test_a_sequential_policy_is_judged_on_its_own_greedy_path(toy_chain, toy_images):
    model = blockdrop(toy_chain(), SequentialPolicy(seed=0))
    images = toy_images(8)
    greedy = model._most_probable(images, model.outcome(images, training=True))
    own = model.outcome(images, training=False)
    for name, decision in own.decisions.items():
        np.testing.assert_array_equal(array(greedy.decisions[name]), array(decision))
    found = step_of(model, images, np.arange(8) % 3)
    assert len(moved(found, "policy", "kernel")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0}, "gamma, the penalty of a wrong prediction, must be a positive number, got 0"),
        ({"gamma": "5"}, "must be a positive number, got '5'"),
        ({"gamma": float("inf")}, "must be a positive number, got inf"),
        ({"policy_weight": -1.0}, r"policy_weight must be a non-negative number, got -1\.0"),
        ({"entropy_weight": -2.0}, r"entropy_weight must be a non-negative number, got -2\.0"),
        ({"hold_strength": -3.0, "usage": 0.5}, r"hold_strength must be a positive number, got -3\.0"),
        ({"hold": "units"}, "hold='units' needs a usage to hold, got None; give a share"),
        ({"usage": {"unit1": 1.5}, "hold": "units"}, r"usage of 'unit1' must be a number between 0 and 1, got 1\.5"),
        ({"gamma": -1.5}, r"must be a positive number, got -1\.5"),
        ({"stage": "finetune"}, r"stage must be one of .* got 'finetune' \(did you mean 'finetuning'\?\)"),
        ({"batch_norm": "freeze"}, r"batch_norm must be one of .*'freeze' \(did you mean 'frozen'\?\)"),
        ({"usage": 1.2}, r"usage must be a number between 0 and 1, got 1\.2"),
        ({"usage": 0.0}, r"usage must be over 0, got 0\.0; give usage=None"),
        ({"usage": {"unit1": 0.5}}, "a usage per unit needs hold='units', got 'gamma'"),
        ({"hold": "unit"}, r"hold must be one of .*'unit' \(did you mean 'units'\?\)"),
        ({"policy": PerUnitGates()}, "trains a BernoulliPolicy such as deciders.Policy, got PerUnitGates"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message, toy_chain):
    with pytest.raises(ValueError, match=message):
        BlockDrop(toy_chain(), **arguments)


def test_a_policy_of_another_size_is_an_error(toy_chain):
    with pytest.raises(
        ValueError, match=r"one logit for each of the 3 units .* got \[None, 4\]; build it with 3 outputs"
    ):
        blockdrop(toy_chain(), Policy(policy_network(4)))


def test_usage_is_for_every_unit_and_no_other(toy_chain):
    with pytest.raises(ValueError, match=r"usage must have one share for each unit .* got \['unit1'\]; these are"):
        blockdrop(toy_chain(), usage={"unit1": 0.5}, hold="units")


def test_a_chain_without_units_is_an_error(toy_chain):
    with pytest.raises(ValueError, match="model 'bare' has nothing to decide: no unit of its chain can be skipped"):
        blockdrop(toy_chain(units=0), Policy(policy_network(1)), name="bare")


def test_a_policy_that_shares_weights_with_the_chain_is_an_error(toy_chain):
    chain = toy_chain()
    network = keras.Sequential([chain.stem, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"the decider .* shares weights with the network that learns from it; .*copy"):
        blockdrop(chain, Policy(network))


def test_without_a_usage_there_is_nothing_to_anneal(toy_chain):
    with pytest.raises(ValueError, match="has no usage to anneal; give it one"):
        blockdrop(toy_chain()).set_target_floor(0.5)


@pytest.mark.ci
def test_what_a_stage_trains_does_not_depend_on_models_made_before_or_after(toy_chain, toy_images):
    images, labels = toy_images(8), np.arange(8) % 3
    first = blockdrop(toy_chain())
    frozen = blockdrop(first.chain, first.decider, stage="finetuning", batch_norm="frozen")
    second = blockdrop(first.chain, first.decider, stage="finetuning")
    chain = {variable.path for variable in first.chain.variables}
    for model in (first, second, first):  # each was made before another set the chain's layers
        found = step_of(model, images, labels)
        assert bool(moved(found, "", "") & chain) == (model is second)
    found = step_of(second, images, labels)
    assert moved(found, "", "moving_mean")
    assert moved(found, "", "gamma")
    found = step_of(frozen, images, labels)
    assert not moved(found, "", "moving_mean") & chain
    assert not moved(found, "", "gamma") & chain


def test_in_the_curriculum_the_chain_runs_as_in_inference(toy_images):
    """Dropout and batch norm of the user's own too: with everything open, sampling changes nothing."""
    body = [keras.layers.Dropout(0.9), keras.layers.Conv2D(3, 1), keras.layers.BatchNormalization()]
    chain = Chain(
        keras.layers.Rescaling(1 / 255),
        [Residual(body, None, "relu", name="unit1")],
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
    )
    network = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, kernel_initializer="zeros")]
    )
    model = blockdrop(chain, Policy(network, alpha=1.0))
    network.layers[-1].bias.assign([30.0])
    images = toy_images(8)
    np.testing.assert_array_equal(array(model(images, training=True)), array(model(images, training=False)))


def test_finetuning_an_untrained_policy_warns_and_trains(toy_chain, toy_images):
    model = blockdrop(toy_chain(), stage="finetuning", name="cold")
    model.compile(keras.optimizers.SGD(0.01), LOSS)
    with pytest.warns(UserWarning, match="model 'cold' is finetuned with a policy that has not been trained"):
        model.fit(toy_images(8), np.arange(8) % 3, verbose=0)
    assert int(model.decider.steps) == 1


@pytest.mark.ci
def test_finetuning_opens_what_the_curriculum_left_closed(toy_chain, toy_images):
    first = blockdrop(toy_chain(), Policy(certain_policy([-3.0] * 3), seed=0))
    first.compile(keras.optimizers.SGD(0.0), LOSS)
    images, labels = toy_images(8), np.arange(8) % 3
    first.fit(images, labels, callbacks=[Curriculum(epochs=1)], verbose=0)
    runs = {name: array(value).mean() for name, value in first.outcome(images).decisions.items()}
    assert runs == {"unit1": 1.0, "unit2": 1.0, "unit3": 0.0}
    second = BlockDrop(first.chain, first.decider, stage="finetuning")
    second.compile(keras.optimizers.SGD(0.0), LOSS)
    second.fit(images, labels, verbose=0)
    assert all(array(value).max() == 0 for value in second.outcome(images).decisions.values())


def test_saving_and_loading_in_a_fresh_process(toy_chain, toy_images, fresh_process):
    model = blockdrop(toy_chain(), Policy(policy_network(3), alpha=0.7, seed=3), stage="finetuning", gamma=2.5)
    images = toy_images(20)
    for training in (False, True):
        found = fresh_process(model, images, training)
        outcome = model.outcome(images, training=training)
        for name, value in outcome.decisions.items():
            np.testing.assert_array_equal(found[f"decisions {name}"], value)
        np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)


@pytest.mark.ci
def test_loading_keeps_arguments_and_training(toy_chain, tmp_path):
    arguments = {
        "stage": "finetuning",
        "gamma": 2.5,
        "policy_weight": 3.0,
        "entropy_weight": 0.2,
        "batch_norm": "frozen",
    }
    model = blockdrop(toy_chain(), **arguments, weight_decay=0.1)
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    model.decider.steps.assign(7)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is BlockDrop
    for name, value in {**arguments, "weight_decay": 0.1}.items():
        assert getattr(loaded, name) == value
    assert int(loaded.decider.steps) == 7
    images, labels = colours(16)
    losses = [
        each.fit(images, labels, epochs=1, shuffle=False, verbose=0).history["loss"][0] for each in (model, loaded)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def check_learning(found):
    """The best policy is known: unit1 for class 0, nothing else. Its reward is (0.75 + 1 + 1) / 3."""
    assert found["evaluated"]["accuracy"] == 1.0
    assert found["evaluated"]["reward"] == pytest.approx(0.75 / 3 + 2 / 3, abs=0.02)
    assert found["needed"] > 0.98
    assert found["needless"] < 0.02
    assert found["useless"] < 0.02
    assert found["rewards"][-1] > found["rewards"][0]
    assert found["chain_moved"] == 0.0
    assert found["steps"] == 240


@pytest.mark.ci
def test_it_learns_which_images_need_which_unit():
    check_learning(learn())


@pytest.mark.ci
def test_it_learns_on_jax():
    script = Path(__file__).with_name("dropping.py")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    check_learning(found)
