"""SGAD from a config: what is built, its schedule, starting from another run, and what is refused."""

import keras
import numpy as np
import pytest

from configs import sgad
from keras_dynamic.callbacks import GrowNoise
from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.experiments import Run, train
from keras_dynamic.experiments.recipes.sgad import schedule
from keras_dynamic.experiments.train import start_from
from keras_dynamic.methods import SGAD
from tests.experiments.conftest import CLASSES, of_tiny


def small(setting="mf", start_from=""):
    """Settings for a random ResNet-8 on the tiny data set: three units, of which two are decided."""
    made = of_tiny(sgad.defaults(setting, start_from))
    made.epochs = 4
    made.noise.epochs = min(made.noise.epochs, 3)
    made.optimizer.learning_rate = 0.01
    return made


@pytest.fixture
def config():
    return small()


def weights(part):
    return [keras.ops.convert_to_numpy(variable) for variable in part.weights]


@pytest.mark.parametrize(("setting", "s_max"), [("mf", 0.2), ("lf", 0.8)])
def test_what_a_config_builds(setting, s_max):
    config = small(setting)
    config.method.update({"open_probability": 0.6, "estimator": "identity", "mask_weight": 2.0, "task_weight": 3.0})
    model = Run(config).model
    assert (type(model), type(model.decider)) == (SGAD, BinaryMaskNetwork)
    assert (model.s_max, model.constant_ratio, model.guideline_weight) == (s_max, None, 0.3)
    assert (model.mask_weight, model.task_weight, model.weight_decay) == (2.0, 3.0, 1e-4)
    assert model.decision_names == ["stage1_unit1", "stage2_unit1"]
    assert (model.decider.open_probability, model.decider.estimator, model.decider.seed) == (0.6, "identity", 0)
    assert model.guideline.layers[-1].units == CLASSES


def test_the_ablation_has_no_guideline(config):
    config.method.guided, config.method.constant_ratio = False, 0.3
    model = Run(config).model
    assert (model.constant_ratio, model.guideline) == (0.3, None)


def test_the_papers_settings():
    mf, lf = sgad.defaults(), sgad.defaults("lf", "runs/mf")
    assert (mf.start_from, lf.start_from) == ("", "runs/mf")
    assert (mf.method.s_max, lf.method.s_max) == (0.2, 0.8)
    for config in (mf, lf):
        assert tuple(config.optimizer.boundaries) == (128, 160, 192)
        method = config.method
        assert (method.task_weight, method.mask_weight, method.guideline_weight) == (1.0, 1.0, 0.3)
    assert lf.noise.first == lf.noise.last == mf.noise.last  # LF goes on with the noise at which MF ended


def test_noise_grows_and_the_last_epoch_is_kept(config):
    config.noise.first, config.noise.last = 0.5, 1.5
    found = schedule(Run(config), 10)
    (callback,) = found.callbacks
    assert type(callback) is GrowNoise
    assert callback.magnitudes == [0.5, 1.0, 1.5]
    assert (found.first_kept, found.monitor) == (3, "val_accuracy")


@pytest.mark.parametrize("epochs", [0, -1, 5])
def test_noise_that_grows_for_longer_than_the_training_is_an_error(epochs, config):
    config.noise.epochs = epochs
    with pytest.raises(ValueError, match=rf"noise\.epochs must be from 1 to epochs, 4, got {epochs}"):
        schedule(Run(config), 10)


def test_noise_that_falls_is_an_error(config):
    config.noise.first = 3.0
    with pytest.raises(ValueError, match=r"noise must not fall, got noise\.first=3\.0 and .* exchange them"):
        schedule(Run(config), 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"s_max": 1.0}, "s_max must lie strictly between 0 and 1"),
        ({"mask_weight": -1.0}, "mask_weight must be a non-negative number"),
        ({"estimator": "sin"}, r"estimator must be one of .* \(did you mean 'sinc'\?\)"),
        ({"open_probability": 0.0}, "open_probability must lie strictly between 0 and 1"),
        ({"guided": False, "constant_ratio": 1.5}, "constant_ratio must be at least 0 and under 1, got 1.5"),
    ],
)
def test_methods_that_cannot_be_are_refused(changes, message, config):
    config.method.update(changes)
    with pytest.raises(ValueError, match=message):
        Run(config).rebuild()


def test_lf_starts_with_mfs_chain_decider_and_guideline(config, tmp_path):
    first = Run(config).model
    first.decider.set_noise(2.0)
    first.save(tmp_path / "model.keras")
    config = small("lf", str(tmp_path))
    config.seed = 1
    second = Run(config).model
    start_from(second, config.start_from)
    assert second.s_max == 0.8
    for part in ("chain", "decider", "guideline"):
        for mine, theirs in zip(weights(getattr(second, part)), weights(getattr(first, part)), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert float(second.decider.noise) == 2.0


def test_the_ablation_may_start_from_a_guided_run(config, tmp_path):
    first = Run(config).model
    first.save(tmp_path / "model.keras")
    config.method.guided = False
    second = Run(config).model
    start_from(second, str(tmp_path))
    for part in ("chain", "decider"):
        for mine, theirs in zip(weights(getattr(second, part)), weights(getattr(first, part)), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_lf_without_the_run_that_it_starts_from_is_an_error(data_dir, tmp_path):
    message = r"start_from names .*mf/model\.keras', which is not there; run the training it comes from first"
    with pytest.raises(FileNotFoundError, match=message):
        train(Run.load(small("lf", str(tmp_path / "mf")), tmp_path / "lf", data_dir), verbose=0)
    assert not list(tmp_path.rglob("*.keras"))


@pytest.mark.ci
def test_it_trains_from_another_run(config, data_dir, tmp_path):
    (tmp_path / "mf").mkdir()
    Run(config).model.save(tmp_path / "mf" / "model.keras")
    config = small("lf", str(tmp_path / "mf"))
    config.epochs = 1
    model = train(Run.load(config, tmp_path / "lf", data_dir), verbose=0)
    assert float(model.decider.noise) == 2.0
    loaded = keras.models.load_model(tmp_path / "lf" / "model.keras")
    assert (type(loaded), loaded.s_max) == (SGAD, 0.8)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-5)


@pytest.mark.ci
@pytest.mark.parametrize("epochs", [0, 2])
def test_guideline_and_bmnet_may_have_epochs_before_the_network(epochs, config, data_dir, tmp_path, monkeypatch):
    config.method.guideline_epochs = epochs
    seen = []
    monkeypatch.setattr(
        "keras_dynamic.experiments.recipes.sgad.fit_guideline",
        lambda model, batches, count, noise: seen.append((len(batches), count, noise)),
    )
    config.epochs, config.noise.epochs = 1, 1
    train(Run.load(config, tmp_path / "mf", data_dir), verbose=0)
    assert seen == [(seen[0][0], 2, 0.5)] if epochs else not seen
