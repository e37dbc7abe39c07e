"""IMTA from a config: what is built, its schedules, phase II from phase I, figures, and what is refused."""

import json
import warnings

import keras
import numpy as np
import pytest

from configs import imta
from keras_dynamic.deciders import Confidence
from keras_dynamic.experiments import Run, jobs, train
from keras_dynamic.experiments.recipes.imta import schedule
from keras_dynamic.experiments.train import start_from
from keras_dynamic.methods import IMTA
from tests.experiments.conftest import CLASSES


def small(phase="I", start_from=""):
    """Settings for an MSDNet with two exits on the tiny data set."""
    made = imta.defaults(phase, start_from, blocks=2, base=1, step=1, channels=4, growth=2, num_classes=CLASSES)
    made.data.name, made.data.held_out = "tiny", 16
    made.epochs, made.batch_size, made.method.hidden = 1, 16, 5
    made.optimizer.learning_rate = 0.01
    return made


def weights(part):
    return [keras.ops.convert_to_numpy(variable) for variable in part.weights]


def same(one, other):
    return all((a == b).all() for a, b in zip(weights(one), weights(other), strict=True))


def test_what_phase_one_builds():
    config = small()
    config.method.update({"gradient_equilibrium": False, "exit_weights": (2.0, 3.0), "confidence": "margin"})
    model = Run(config).model
    assert (type(model), type(model.decider), model.decider.confidence) == (IMTA, Confidence, "margin")
    assert (model.equilibrium, model.exit_weights, model.weight_decay) == (False, [2.0, 3.0], 1e-4)
    assert (model.alpha, model.classifiers_only, model.new_layers) == (1.0, False, [])
    assert model.decision_names == ["exit1"]


@pytest.mark.ci
def test_what_phase_two_builds():
    model = Run(small("II", "runs/one")).model
    assert (model.alpha, model.temperature, model.classifiers_only) == (0.1, 1.0, True)
    (path,) = model.new_layers
    assert path.layers[0].units == 5
    config = small("II", "runs/one")
    config.method.collaboration = "identity"
    assert (Run(config).model.new_layers, Run(config).model.chain.head.transfer) == ([], None)


def test_the_papers_schedules():
    one, two = imta.defaults(), imta.defaults("II", "runs/one")
    assert (one.epochs, tuple(one.optimizer.boundaries), one.start_from) == (300, (150, 225), "")
    assert (two.epochs, tuple(two.optimizer.boundaries), two.start_from) == (180, (90, 135), "runs/one")
    for config in (one, two):
        assert (config.batch_size, config.optimizer.learning_rate, config.optimizer.decay) == (64, 0.1, 0.1)
        assert (config.optimizer.momentum, config.optimizer.nesterov) == (0.9, True)


def test_phase_two_without_phase_one_is_warned_of():
    config = small("II")
    with pytest.warns(UserWarning, match="features that nobody has trained; give the run of phase I as start_from"):
        found = schedule(Run(config), 3)
    assert (found.callbacks, found.first_kept, found.monitor) == ([], 0, "val_accuracy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in (small(), small("II", "runs/one")):
            schedule(Run(settings), 3)


def test_on_a_frozen_network_the_best_epoch_is_that_of_its_last_exit():
    config = small()
    with config.unlocked():
        config.network = {"depth": 8, "num_classes": CLASSES, "weights": "", "frozen": True}
        config.network.exits, config.network.exit_filters = ("stage1_unit1", "stage2_unit1"), 4
    assert schedule(Run(config), 3).monitor == "val_exit2_accuracy"
    config.network.frozen = False
    assert schedule(Run(config), 3).monitor == "val_accuracy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "2"}, r"method\.phase must be one of \('I', 'II'\), got '2'"),
        ({"collaboration": "identiy"}, r"method\.collaboration must be one of .*\(did you mean 'identity'\?\)"),
        ({"hidden": -1, "collaboration": "dense"}, "hidden must be a width of at least 0, got -1"),
        ({"alpha": 2.0}, r"alpha must be a number between 0 and 1, got 2\.0"),
        ({"exit_weights": (1.0,)}, "exit_weights must be 2 numbers"),
        ({"confidence": "max"}, "confidence must be a registered function or one of"),
    ],
)
def test_methods_that_cannot_be_are_refused(changes, message):
    config = small()
    config.method.update(changes)
    with pytest.raises(ValueError, match=message):
        Run(config).rebuild()


def test_networks_without_exits_are_refused():
    config = small()
    with config.unlocked():
        config.network.name, config.network.depth = "resnet_cifar", 8
    with pytest.raises(ValueError, match="IMTA trains a chain with exits, got one without"):
        Run(config).rebuild()


@pytest.mark.ci
def test_phase_two_takes_over_all_but_its_paths(tmp_path):
    keras.utils.set_random_seed(0)
    one = Run(small()).model
    one.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(1)
    two = Run(small("II", str(tmp_path))).model
    (path,) = two.new_layers
    fresh = weights(path)
    start_from(two, str(tmp_path))
    assert same(two.chain.stem, one.chain.stem)
    assert all(same(mine, other) for mine, other in zip(two.chain.units, one.chain.units, strict=True))
    assert same(two.chain.exits[0], one.chain.exits[0])
    assert same(two.chain.head.head, one.chain.head)
    for before, now in zip(fresh, weights(path), strict=True):
        np.testing.assert_array_equal(before, now)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(two(images), one(images), atol=1e-5)  # paths begin with 0

    path.layers[-1].kernel.assign(np.ones((5, CLASSES)))
    (tmp_path / "two").mkdir()
    two.save(tmp_path / "two" / "model.keras")
    three = Run(small("II", "runs/one")).model
    start_from(three, str(tmp_path / "two"))
    assert same(three.chain, two.chain)  # paths too


@pytest.mark.ci
def test_phase_two_of_another_network_is_refused(tmp_path):
    Run(small()).model.save(tmp_path / "model.keras")
    config = small("II", str(tmp_path))
    config.network.growth = 4
    with pytest.raises(ValueError, match="another architecture than model 'imta'"):
        start_from(Run(config).model, str(tmp_path))


@pytest.fixture(scope="module")
def phase_one(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imta") / "one"
    model = train(Run.load(small(), folder, data_dir), verbose=0)
    return model, folder


@pytest.mark.ci
def test_phase_two_trains_from_phase_one(phase_one, data_dir, tmp_path):
    one, folder = phase_one
    two = train(Run.load(small("II", str(folder)), tmp_path / "two", data_dir), verbose=0)
    assert same(two.chain.stem, one.chain.stem)
    assert not same(two.chain.exits[0], one.chain.exits[0])


@pytest.mark.ci
def test_the_job_judges_it_under_a_budget(phase_one, data_dir):
    _, folder = phase_one
    config = small()
    plain = jobs.run(config, folder, data_dir)
    first, last = (row["macs"] for row in plain["exits"])
    assert plain["macs_static"] < plain["macs_mean"] == last
    config.evaluation.macs = (first + last) / 2
    figures = jobs.run(config, folder, data_dir)
    assert first < figures["macs_mean"] < last
    # A static network that goes to the end does not compute the first exit, which is dear here: it is the twin.
    ((goes_on, accuracy),) = figures["static_twin"]
    assert accuracy == plain["exits"][-1]["accuracy"]
    assert goes_on == plain["macs_static"] < figures["macs_mean"]
    assert figures["units_mean"] == pytest.approx((figures["macs_mean"] - first) / (last - first))
    assert len(figures["gradient_variances"]["plain"]) == len(figures["exits"]) == 2
    assert 0 <= figures["budget_error"] == max(abs(row["kept"] - 1) for row in figures["budgets"])
    record = json.loads((folder / "run.json").read_text())["epochs"]
    accuracies = {name: [each[f"val_{name}_accuracy"] for each in record] for name in ("exit1",)}
    accuracies["head"] = [each["val_accuracy"] for each in record]
    assert figures["exit_history"] == {"epochs": [1], "accuracies": accuracies}
    loaded = keras.models.load_model(folder / "fitted.keras", compile=False)
    assert np.isfinite(keras.ops.convert_to_numpy(loaded.decider.thresholds)).all()
    report = json.loads((folder / "report.json").read_text())
    assert report["systems"]["imta"]["exits"] == figures["exits"]
    assert (folder / "pictures" / "exits_imta.svg").exists() or list((folder / "pictures").glob("exits_imta.*"))
