from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic import zoo
from keras_dynamic.experiments import Run, build_network


def test_network_with_exits(config):
    with config.unlocked():
        config.network.exits, config.network.exit_filters = ("stage1_unit1", "stage2_unit1"), 8
    found = [(each.name, each.after) for each in build_network(config.network).chain.exits]
    assert found == [("exit1", "stage1_unit1"), ("exit2", "stage2_unit1")]


def test_network_with_an_exit_of_copies_on_frozen_layers(config):
    with config.unlocked():
        config.network.exits, config.network.exit_copies = ("stage1_unit1",), ("stage2_unit1", "stage3_unit1")
        config.network.frozen = True
    network = build_network(config.network)
    (head,) = (each.head for each in network.chain.exits)
    assert [layer.name for layer in head.layers[:2]] == ["exit1_stage2_unit1", "exit1_stage3_unit1"]
    assert len(network.trainable_variables) == len(head.trainable_variables) > 0


def test_network_from_the_zoo_has_its_weights(config):
    config.network.num_classes, config.network.weights = 10, "zoo:resnet8_cifar10_45k"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = zoo.load("resnet8_cifar10_45k")(images)
    np.testing.assert_array_equal(build_network(config.network)(images), expected)


def test_network_from_a_file_in_a_folder_that_the_environment_names(config, monkeypatch):
    source = zoo.describe("resnet8_cifar10_45k")["file"]
    monkeypatch.setenv("SOME_WEIGHTS", str(Path(zoo.__file__).with_name("weights")))
    config.network.num_classes, config.network.weights = 10, f"$SOME_WEIGHTS/{source}"
    kernel = build_network(config.network).chain.head.layers[-1].kernel
    np.testing.assert_array_equal(kernel, zoo.load("resnet8_cifar10_45k").chain.head.layers[-1].kernel)


def test_random_network_has_as_many_units_as_its_depth_says(config):
    config.network.depth = 14
    network = build_network(config.network)
    assert len(network.chain.units) == 6
    assert network(np.zeros((1, 32, 32, 3))).shape == (1, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 9}, r"depth must be 6n\+2 .* got 9"),
        ({"weights": "zoo:resnet8_cifar10"}, r"no network 'resnet8_cifar10' \(did you mean 'resnet8_cifar10_45k'\?\)"),
        ({"weights": "zoo:resnet8_cifar10_45k"}, r"'num_classes': 10.* asks for depth 8 and 4 classes; change network"),
        ({"weights": "zoo:resnet32_cifar10_45k", "num_classes": 10}, r"'depth': 32.* asks for depth 8 and 10 classes"),
    ],
)
def test_networks_that_cannot_be_are_refused(config, changes, message):
    config.network.update(changes)
    with pytest.raises(ValueError, match=message):
        build_network(config.network)


def test_missing_weights_are_named(config):
    config.network.weights = "nowhere/resnet8.npz"
    with pytest.raises(FileNotFoundError, match=r"no weights file at nowhere/resnet8\.npz"):
        build_network(config.network)


def test_method_takes_the_config_over(config):
    config.method.update({"always": ("stage2_unit1",), "activation_loss": "per_gate", "activation_weight": 3.0})
    config.seed = 7
    model = Run(config).model
    assert model.decision_names == ["stage1_unit1", "stage3_unit1"]
    assert (model.activation_loss, model.activation_weight, model.target) == ("per_gate", 3.0, 0.6)
    assert model.decider.seed == 7


def test_targets_per_unit(config):
    with config.unlocked():
        config.method = {
            **config.method.to_dict(),
            "target": {"stage1_unit1": 0.5, "stage2_unit1": 1.0, "stage3_unit1": 0.7},
            "activation_loss": "per_gate",
        }
    model = Run(config).model
    np.testing.assert_allclose(model.current_target, [0.5, 1.0, 0.7])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "activation_gateing"}, r"method\.name must be one of .* \(did you mean 'activation_gating'\?\)"),
        ({"target": 1.5}, "target must be a number between 0 and 1, got 1.5"),
        ({"activation_loss": "per_gates"}, r"activation_loss must be one of .* \(did you mean 'per_gate'\?\)"),
        ({"always": ("stage4_unit1",)}, "always names unit 'stage4_unit1'"),
        ({"distillation_weight": 0.5}, "distillation_weight is 0.5, but there is no trained network to distil from"),
        ({"open_probability": 1.0}, "open_probability must lie strictly between 0 and 1"),
    ],
)
def test_methods_that_cannot_be_are_refused(config, changes, message):
    config.method.update(changes)
    with pytest.raises(ValueError, match=message):
        Run(config).rebuild()


def optimizer_of(config, steps_per_epoch):
    """The optimizer of a training of five epochs."""
    config.epochs = 5
    return Run(config).optimizer(steps_per_epoch)


def rates(optimizer, steps):
    schedule = optimizer._learning_rate
    return [round(float(schedule(step) if callable(schedule) else schedule), 6) for step in steps]


def test_steps_fall_after_their_epochs(config):
    config.optimizer.update({"learning_rate": 0.1, "boundaries": (2, 3), "decay": 0.1, "schedule": "steps"})
    # Ten batches an epoch: 0.1 for two epochs, then 0.01 for one, then 0.001.
    assert rates(optimizer_of(config, 10), [0, 20, 21, 30, 31]) == [0.1, 0.1, 0.01, 0.01, 0.001]


def test_one_cycle_rises_and_falls_to_zero(config):
    config.optimizer.update({"learning_rate": 0.4, "schedule": "one_cycle", "warm_up": 0.2})
    # 20 of 100 steps of warm-up, then half a cosine over 80: cos(pi / 4) at a quarter of it.
    expected = [0.0, 0.2, 0.4, round(0.2 * (1 + 0.5**0.5), 6), 0.2, 0.0]
    assert rates(optimizer_of(config, 20), [0, 10, 20, 40, 60, 100]) == expected


def test_one_cycle_without_warm_up_starts_at_its_peak(config):
    config.optimizer.update({"learning_rate": 0.4, "schedule": "one_cycle", "warm_up": 0.0})
    assert rates(optimizer_of(config, 20), [0, 50, 100]) == [0.4, 0.2, 0.0]


def test_constant_rate_and_kind_of_momentum(config):
    config.optimizer.update({"learning_rate": 0.3, "schedule": "constant", "momentum": 0.8, "nesterov": False})
    optimizer = optimizer_of(config, 10)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert float(optimizer.learning_rate) == pytest.approx(0.3)
    assert (optimizer.momentum, optimizer.nesterov) == (0.8, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "step"}, r"optimizer\.schedule must be one of .* got 'step' \(did you mean 'steps'\?\)"),
        (
            {"schedule": "one_cycle", "warm_up": 1.0},
            r"optimizer\.warm_up must be a share of all steps in \[0, 1\), got",
        ),
    ],
)
def test_schedules_that_cannot_be_are_refused(config, changes, message):
    config.optimizer.update(changes)
    with pytest.raises(ValueError, match=message):
        optimizer_of(config, 10)
