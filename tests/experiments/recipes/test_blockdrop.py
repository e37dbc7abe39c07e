"""BlockDrop from a config: what is built, its schedule, starting from another run, and what is refused."""

import keras
import numpy as np
import pytest

from configs import blockdrop
from keras_dynamic.callbacks import AnnealTarget, Curriculum
from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.experiments import Run
from keras_dynamic.experiments.recipes.blockdrop import schedule
from keras_dynamic.experiments.recipes.schedule import Schedule
from keras_dynamic.experiments.train import start_from


@pytest.fixture
def config():
    """Settings for a random ResNet-8: three units."""
    made = blockdrop.defaults()
    made.network.depth, made.network.weights, made.epochs = 8, "", 4
    return made


@pytest.mark.parametrize(
    ("policy", "kind"), [("resnet", Policy), ("recurrent", Policy), ("sequential", SequentialPolicy)]
)
def test_policies_by_name(policy, kind, config):
    config.method.policy, config.method.alpha, config.method.always = policy, 0.7, ("stage2_unit1",)
    model = Run(config).model
    assert type(model.decider) is kind
    assert model.decider.alpha == 0.7
    assert model.decider.names == ("stage1_unit1", "stage3_unit1")


def test_a_policy_may_start_as_a_trained_network(config):
    from keras_dynamic import zoo

    config.method.policy_trunk = "resnet8_cifar10_45k"
    trunk, trained = Run(config).model.decider.network.chain.stem, zoo.load("resnet8_cifar10_45k").chain.stem
    for mine, theirs in zip(trunk.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("epochs", "steps", "first_kept"), [(1, 0, 2), (0, 50, 1), (0, 51, 2), (0, 1, 1)]
)  # three units; 100 steps an epoch
def test_epochs_are_kept_once_all_units_are_open(epochs, steps, first_kept, config):
    config.curriculum.epochs, config.curriculum.steps = epochs, steps
    found = schedule(Run(config), 100)
    assert [type(each) for each in found.callbacks] == [Curriculum]
    assert (found.first_kept, found.monitor) == (first_kept, "val_reward")


def test_finetuning_has_no_curriculum_and_may_anneal(config):
    config.method.stage = "finetuning"
    assert schedule(Run(config), 100) == Schedule([], 0, "val_reward")
    config.method.usage, config.anneal.a = 0.6, 0.2
    found = schedule(Run(config), 100)
    assert [type(each) for each in found.callbacks] == [AnnealTarget]
    assert found.first_kept == 2


def test_a_curriculum_longer_than_the_training_is_an_error(config):
    config.curriculum.epochs = 2
    with pytest.raises(ValueError, match=r"opens its last unit in epoch 5 only, but epochs is 4; train longer"):
        schedule(Run(config), 100)


@pytest.mark.parametrize("value", [-1, 0.5])
def test_a_curriculum_step_must_be_a_whole_positive_number(value, config):
    with config.ignore_type():
        config.curriculum.epochs = value
    with pytest.raises(ValueError, match=f"one whole number of at least 1, got epochs={value}"):
        schedule(Run(config), 100)


def test_an_unknown_policy_is_an_error(config):
    config.method.policy = "resnets"
    with pytest.raises(ValueError, match=r"method.policy must be one of .* got 'resnets' \(did you mean 'resnet'\?\)"):
        Run(config).rebuild()


def test_a_run_starts_with_anothers_chain_and_policy(config, tmp_path):
    first = Run(config).model
    first.decider.steps.assign(9)
    first.save(tmp_path / "model.keras")
    config.seed, config.method.stage, config.method.gamma = 1, "finetuning", 9.0
    second = Run(config).model
    start_from(second, str(tmp_path))
    assert second.gamma == 9.0
    assert int(second.decider.steps) == 9
    for part in ("chain", "decider"):
        for mine, theirs in zip(getattr(second, part).weights, getattr(first, part).weights, strict=True):
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (mine, theirs)))


def test_starting_from_what_is_not_there_or_does_not_fit_is_an_error(config, tmp_path):
    model = Run(config).model
    with pytest.raises(
        FileNotFoundError, match=r"start_from names .*model\.keras', which is not there; run the training"
    ):
        start_from(model, str(tmp_path))
    config.network.depth = 14
    Run(config).model.save(tmp_path / "other.keras")
    before = model.get_weights()
    with pytest.raises(ValueError, match="holds the weights of another architecture"):
        start_from(model, str(tmp_path / "other.keras"))
    for mine, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, kept)
