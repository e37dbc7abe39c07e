"""A fixed pattern as a method: what it runs, what it trains, and that its run goes on where it stopped."""

import keras
import ml_collections
import numpy as np
import pytest

from keras_dynamic.deciders import DistributeK, FirstK, RandomK
from keras_dynamic.evaluation import evaluate
from keras_dynamic.experiments import Run, build_network, load_weights, train
from keras_dynamic.experiments.recipes.fixed import fixed_decider


def method(**changes):
    settings = {"name": "fixed", "pattern": "first_k", "k": 2, "units": (), "weight_decay": 5e-4}
    settings |= {"distillation_weight": 0.0, "distillation_temperature": 4.0}
    return ml_collections.ConfigDict(settings | changes)


@pytest.fixture
def fixed_config(config):
    with config.unlocked():
        config.method = method()
    config.epochs = 2
    return config


def runs(decider, names):
    return [name for name, run in decider.pattern(names).items() if run]


def test_patterns_are_the_deciders_of_their_names(config):
    config.network.depth = 20
    chain = build_network(config.network).chain
    names = chain.skippable_names
    assert len(names) == 9
    for pattern, decider in (("first_k", FirstK(4)), ("random_k", RandomK(4, 3)), ("distribute_k", DistributeK(4))):
        assert runs(fixed_decider(method(pattern=pattern, k=4), chain, seed=3), names) == runs(decider, names)
    units = ("stage3_unit1", "stage1_unit2")
    chosen = runs(fixed_decider(method(pattern="units", units=units), chain), names)
    assert chosen == ["stage1_unit2", "stage3_unit1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": "frist_k"}, r"method\.pattern must be one of .* got 'frist_k' \(did you mean 'first_k'\?\)"),
        ({"k": 4}, "k must be at most the 3 units that can be skipped, got 4"),
        ({"k": -1}, "k must be a whole number of units, at least 0, got -1"),
        (
            {"pattern": "units", "units": ("stage1_unit2",)},
            r"method\.units names unit 'stage1_unit2', which is not there \(did you mean 'stage1_unit1'\?\)",
        ),
    ],
)
def test_patterns_that_cannot_be_are_refused(fixed_config, changes, message):
    fixed_config.method.update(changes)
    with pytest.raises(ValueError, match=message):
        Run(fixed_config).rebuild()


@pytest.mark.ci
def test_training_changes_the_units_that_run_and_no_others(fixed_config, data_dir, tmp_path):
    fixed_config.seed = 5
    fixed_config.reestimate_images = 0
    keras.utils.set_random_seed(fixed_config.seed)
    before = {unit.name: unit.get_weights() for unit in build_network(fixed_config.network).chain.units}
    run = Run.load(fixed_config, tmp_path / "run", data_dir)
    model, splits = train(run, verbose=0), run.splits
    changed = {
        unit.name: any(np.abs(a - b).max() > 0 for a, b in zip(unit.get_weights(), before[unit.name], strict=True))
        for unit in model.chain.units
    }
    assert changed == {"stage1_unit1": True, "stage2_unit1": True, "stage3_unit1": False}
    result = evaluate(model, *splits.test)
    assert {name: set(value) for name, value in result.decisions.items()} == {
        "stage1_unit1": {1.0},
        "stage2_unit1": {1.0},
        "stage3_unit1": {0.0},
    }
    assert result.figures()["units_mean"] == 2
    assert result.macs.max() < build_network(fixed_config.network).cost_tree.total_macs


class Stop(keras.callbacks.Callback):
    """Interrupts the training at the end of its first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.ci
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(fixed_config, data_dir, tmp_path):
    whole = train(Run.load(fixed_config, tmp_path / "whole", data_dir), verbose=0)
    with pytest.raises(KeyboardInterrupt):
        train(Run.load(fixed_config, tmp_path / "parts", data_dir), verbose=0, callbacks=[Stop()])
    run = Run.load(fixed_config, tmp_path / "parts", data_dir)
    model, splits = train(run, verbose=0), run.splits
    for one, other in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    loaded = keras.models.load_model(tmp_path / "parts" / "model.keras", compile=False)
    expected = evaluate(load_weights(Run(fixed_config).model, tmp_path / "parts" / "model.keras"), *splits.test)
    np.testing.assert_allclose(evaluate(loaded, *splits.test).logits, expected.logits, atol=1e-5)


def test_distillation_needs_a_trained_network(fixed_config):
    fixed_config.method.distillation_weight = 1.0
    with pytest.raises(ValueError, match="there is no trained network to distil from"):
        Run(fixed_config).rebuild()


def test_the_teacher_runs_whole(fixed_config):
    fixed_config.method.distillation_weight = 1.0
    fixed_config.network.num_classes, fixed_config.network.weights = 10, "zoo:resnet8_cifar10_45k"
    model = Run(fixed_config).model
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    losses = model.outcome_losses(images, None, model.outcome(images))
    whole = build_network(fixed_config.network)
    same = model.outcome_losses(images, None, whole.outcome(images))
    assert float(same["distillation"]) == pytest.approx(0.0, abs=1e-4)
    assert float(losses["distillation"]) > 0.01
