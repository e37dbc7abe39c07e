"""DDI from a config: what is built, gates before all, exits that start from what skips, limits."""

import keras
import numpy as np
import pytest

from configs import ddi
from keras_dynamic.deciders import ChannelCNNGates, CombinedDecider, RecurrentGates
from keras_dynamic.experiments import Run, train
from keras_dynamic.experiments.train_and_evaluate import train_and_evaluate
from keras_dynamic.methods import DDI
from keras_dynamic.models import resnet_cifar
from keras_dynamic.transform import exit_places
from tests.experiments.conftest import of_tiny


def small(kind="both"):
    """Settings for a random ResNet-8 on the tiny data set."""
    made = of_tiny(ddi.defaults(kind, {"stage2": 16, "stage3": 32}))
    made.epochs = 3
    made.anneal.a, made.anneal.k = 0.4, 1
    made.optimizer.learning_rate = 0.01
    made.method.distillation_weight = 0.0
    made.method.gate_epochs = 1
    made.evaluation.static, made.evaluation.twin_images = (), 16
    return made


@pytest.mark.parametrize(
    ("kind", "decider", "names"),
    [
        ("layers", RecurrentGates, ["stage2_unit1", "stage3_unit1"]),
        ("channels", ChannelCNNGates, ["stage2_unit1[1]", "stage3_unit1[1]"]),
        ("both", CombinedDecider, ["stage2_unit1", "stage2_unit1[1]", "stage3_unit1", "stage3_unit1[1]"]),
    ],
)
def test_what_a_config_builds(kind, decider, names):
    model = Run(small(kind)).model
    assert (type(model), type(model.decider), model.decision_names) == (DDI, decider, names)
    assert (model.alpha, model.balance, model.target, model.table) == (60.0, 4.0, 0.6, None)


def test_a_penalty_and_energy():
    config = small("layers")
    config.method.target, config.method.energy = 0.0, True
    model = Run(config).model
    assert model.target is None
    assert model.table["stage2_unit1"] > 0
    assert Run(config).recipe.schedule(Run(config), 4).callbacks == []


def test_gates_learn_before_the_network(data_dir, tmp_path):
    config = small("layers")
    run = Run.load(config, tmp_path, data_dir)
    run.compile(run.model, run.optimizer(4))
    before = [keras.ops.convert_to_numpy(weight) for weight in run.model.chain.weights]
    gates = [keras.ops.convert_to_numpy(weight) for weight in run.model.decider.trainable_variables]
    run.recipe.schedule(run, 4).before(run.batches())
    for weight, old in zip(run.model.chain.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)
    moved = zip(run.model.decider.trainable_variables, gates, strict=True)
    assert any(np.abs(keras.ops.convert_to_numpy(weight) - old).max() > 0 for weight, old in moved)
    assert run.model.chain.trainable


@pytest.mark.ci
def test_exits_start_from_what_skips(data_dir, tmp_path):
    first = small()
    measured = train_and_evaluate(first, tmp_path / "both", data_dir)
    assert 0 < measured["energy_share"] <= 1
    trained = train(Run.load(first, tmp_path / "both", data_dir), verbose=0)
    config = small()
    with config.unlocked(), config.network.unlocked():
        config.network.exits, config.network.exit_filters = ("stage1_unit1", "stage2_unit1"), (4, 8)
    config.start_from, config.method.gate_epochs = str(tmp_path / "both"), 0
    whole = trained.cost_tree.total_macs
    config.evaluation.limits = (0.5 * whole, 2.0 * whole)
    config.epochs, config.optimizer.learning_rate = 2, 1e-9
    config.anneal.start = config.method.target
    figures = train_and_evaluate(config, tmp_path / "exits", data_dir)
    low, high = figures["limits"]
    assert high["stops"] == [0.0, 0.0, 1.0]
    assert high["accuracy"] == figures["accuracy"] == figures["accuracy_limit2"]
    assert low["macs_max"] <= 0.5 * whole
    assert low["over"] == 0
    assert len(figures["exits"]) == 3


@pytest.mark.parametrize(("setting", "depth"), [("resnet32_cpu_exits", 32), ("resnet74_cifar10_exits", 74)])
def test_exits_stand_where_the_paper_has_them(setting, depth):
    network = resnet_cifar(depth)
    network.build((None, 32, 32, 3))
    assert list(ddi.get_config(setting).network.exits) == exit_places(network)


def test_energy_of_a_network_that_is_trained_in_bfloat16(data_dir, tmp_path):
    config = small("layers")
    config.mixed_precision, config.method.energy, config.epochs, config.method.target = True, True, 1, 0.9
    config.anneal.start = 0.9
    model = train(Run.load(config, tmp_path, data_dir), verbose=0)
    assert model.table["stem"] > 0


def test_unknown_grains():
    config = small()
    config.method.grains = "layer"
    with pytest.raises(ValueError, match=r"method\.grains must be one of .*got 'layer'"):
        Run(config).model  # noqa: B018
