import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.evaluation import evaluate
from keras_dynamic.experiments import (
    Checkpoint,
    Run,
    RunRecord,
    load_splits,
    load_weights,
    read_activation_history,
    train,
)
from keras_dynamic.experiments.checkpoint import read_note
from keras_dynamic.experiments.recipes.schedule import Schedule
from keras_dynamic.experiments.train import _KeepBest
from keras_dynamic.layers import DynamicModel

ROOT = Path(__file__).parents[2]


class StopAfter(keras.callbacks.Callback):
    """Interrupts the training at the end of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.stop = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.stop:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(make_config, data_dir, tmp_path_factory):
    """(workdir, model) of a run that was never interrupted."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    model = train(Run.load(make_config(), workdir, data_dir), verbose=0)
    return workdir, model


def assert_same_weights(one, other, atol=0.0):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def test_folder_of_a_finished_run(finished):
    workdir, _ = finished
    assert sorted(path.name for path in workdir.iterdir()) == [
        "activation_rates.csv",
        "best.keras",
        "config.json",
        "model.keras",
        "run.json",
        "tensorboard",
    ]
    assert len(list(workdir.glob("tensorboard/*/events.out.tfevents.*"))) == 2
    history = read_activation_history(workdir / "activation_rates.csv")
    assert history["epochs"] == [1, 2, 3]
    assert list(history["rates"]) == ["stage1_unit1", "stage2_unit1", "stage3_unit1"]


def test_record_of_a_finished_run(finished, config):
    workdir, _ = finished
    content = json.loads((workdir / "run.json").read_text())
    assert content["config"]["network"] == {"depth": 8, "stages": [], "num_classes": 4, "weights": ""}
    assert {"job", "evaluation", "targets"}.isdisjoint(content["config"])
    assert len(content["epochs"]) == 3
    metrics = {"accuracy", "loss", "activation_rate", "macs_millions"}
    assert set(content["epochs"][0]) == metrics | {f"val_{name}" for name in metrics}
    # Targets come down to 0.6 in the second epoch; the first one's model is none of those to choose from.
    best = max((1, 2), key=lambda epoch: content["epochs"][epoch]["val_accuracy"])
    assert content["figures"] == {**content["epochs"][best], "best_epoch": best}


def test_best_model_is_the_one_that_the_record_tells_of(finished, config, data_dir):
    workdir, _ = finished
    best = keras.models.load_model(workdir / "best.keras", compile=False)
    splits = load_splits(config.data, data_dir)
    figures = json.loads((workdir / "run.json").read_text())["figures"]
    assert evaluate(best, *splits.held_out).accuracy == pytest.approx(figures["val_accuracy"])
    assert float(best.current_target) == pytest.approx(0.6)


def test_final_model_is_the_best_one_with_batch_norm_re_estimated(finished, config, data_dir):
    workdir, model = finished
    expected = load_weights(Run(config).model, workdir / "best.keras")
    assert any(np.abs(a - b).max() > 0 for a, b in zip(expected.get_weights(), model.get_weights(), strict=True))
    reestimate_batch_norm(expected, Run.load(config, data_dir=data_dir).reestimation_batches())
    assert_same_weights(model, expected, atol=1e-5)
    assert_same_weights(model, keras.models.load_model(workdir / "model.keras", compile=False))


def test_a_finished_run_returns_at_once(finished, config, data_dir):
    workdir, model = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    run = Run.load(config, workdir, data_dir)
    again = train(run, callbacks=[StopAfter(0)])
    assert_same_weights(model, again)
    assert run.model is again
    assert len(run.splits.test[0]) == 24
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_what_is_said_of_a_run_may_change_after_it(finished, config, data_dir):
    workdir, model = finished
    with config.unlocked():
        config.targets.accuracy = ">= 0.9"
    config.evaluation.twin_images = 10
    assert_same_weights(model, train(Run.load(config, workdir, data_dir)))


@pytest.mark.ci
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(finished, config, data_dir, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Run.load(config, tmp_path, data_dir), verbose=0, callbacks=[StopAfter(1)])
    assert len(json.loads((tmp_path / "run.json").read_text())["epochs"]) == 2
    assert (tmp_path / "checkpoint" / "latest.npz").exists()
    assert not (tmp_path / "model.keras").exists()
    with pytest.raises(KeyboardInterrupt):
        train(Run.load(config, tmp_path, data_dir), verbose=0, callbacks=[StopAfter(2)])
    model = train(Run.load(config, tmp_path, data_dir), verbose=0, callbacks=[StopAfter(0)])  # nothing is left to train
    assert_same_weights(model, finished[1], atol=1e-5)
    assert not (tmp_path / "checkpoint").exists()
    content, whole = (json.loads((path / "run.json").read_text()) for path in (tmp_path, finished[0]))
    assert [list(epoch) for epoch in content["epochs"]] == [list(epoch) for epoch in whole["epochs"]]
    assert content["figures"] == pytest.approx(whole["figures"])
    histories = [read_activation_history(path / "activation_rates.csv") for path in (tmp_path, finished[0])]
    assert histories[0] == histories[1]


def test_the_best_model_and_its_epoch_agree_after_a_crash(toy_chain, tmp_path):
    """A run dies between an epoch's model and its checkpoint, and the epoch comes out worse the second time."""
    model = DynamicModel(toy_chain(1))
    model.build((None, 8, 8, 3))
    bias = model.chain.head.layers[-1].bias

    def epochs(*accuracies):
        record = RunRecord(tmp_path, {})
        keeper = _KeepBest(record, tmp_path / "best.keras", Schedule([], 1, "val_accuracy"))
        keeper.set_model(model)
        for epoch, accuracy in accuracies:
            bias.assign(np.full(3, accuracy))
            keeper.on_epoch_end(epoch, {"val_accuracy": accuracy})
            kept = read_note(tmp_path / "best.keras")
            saved = keras.models.load_model(tmp_path / "best.keras", compile=False)
            assert float(saved.chain.head.layers[-1].bias[0]) == pytest.approx(kept["metrics"]["val_accuracy"])
            yield kept["epoch"], kept["metrics"]["val_accuracy"]

    assert list(epochs((0, 0.95), (1, 0.5), (2, 0.9))) == [(0, 0.95), (1, 0.5), (2, 0.9)]
    assert list(epochs((2, 0.4), (3, 0.6), (4, 0.92))) == [(2, 0.9), (2, 0.9), (4, 0.92)]


@pytest.mark.ci
def test_mixed_precision_ends_in_float32(config, data_dir, tmp_path):
    config.mixed_precision, config.anneal.a, config.epochs = True, 1.0, 2
    model = train(Run.load(config, tmp_path, data_dir), verbose=0)
    assert keras.mixed_precision.dtype_policy().name == "float32"
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    trained = keras.models.load_model(tmp_path / "best.keras", compile=False)
    kernel = trained.chain.units[0].body.layers[0]
    assert (kernel.compute_dtype, kernel.kernel.dtype) == ("bfloat16", "float32")


def test_another_configs_folder_is_left_alone(finished, config, data_dir):
    workdir, _ = finished
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    config.method.target = 0.7
    with pytest.raises(
        ValueError, match=r"holds the run of another config \(different: method\.target\); give another"
    ):
        train(Run.load(config, workdir, data_dir))
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1}, "come down to 0.6 in epoch 2 only, but epochs is 1; train longer"),
        ({"network.depth": 10}, r"depth must be 6n\+2"),
        ({"network.num_classes": 5}, "'tiny' has 4 classes, but the config's network 5"),
        ({"method.target": -0.1}, "target must be a number between 0 and 1, got -0.1"),
        ({"method.distillation_weight": 0.5}, "there is no trained network to distil from"),
        ({"anneal.a": 0.0}, "a must be positive"),
        ({"optimizer.schedule": "cosine"}, r"optimizer\.schedule must be one of"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"reestimate_images": -1}, "reestimate_images must be a whole number of at least 0, got -1"),
        ({"optimizer.name": "rmsprop"}, r"optimizer\.name must be one of"),
        ({"optimizer.learning_rate": math.inf}, r"optimizer\.learning_rate must be a positive number, got inf"),
        ({"optimizer.learning_rate": 0.0}, r"optimizer\.learning_rate must be a positive number, got 0\.0"),
        ({"optimizer.decay": math.nan}, r"optimizer\.decay must be a non-negative number, got nan"),
        ({"optimizer.momentum": 1.5}, r"optimizer\.momentum must be a number between 0 and 1, got 1\.5"),
        ({"optimizer.warm_up": 1.0}, r"optimizer\.warm_up must be a share of all steps in \[0, 1\), got 1\.0"),
        ({"optimizer.boundaries": (3, -1)}, r"an epoch of optimizer\.boundaries must be a non-negative number, got -1"),
        ({"distribute": "mirror"}, "distribute must be one of .* got 'mirror'"),
    ],
)
def test_nothing_is_written_for_a_config_that_does_not_fit_together(config, data_dir, tmp_path, changes, message):
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        train(Run.load(config, tmp_path / "run", data_dir))
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_ends_the_training(config, data_dir, tmp_path):
    config.optimizer.learning_rate, config.optimizer.schedule = 1e30, "constant"
    said = r"the loss is (nan|inf) in epoch 1, batch \d; train with a lower learning rate"
    with pytest.raises(FloatingPointError, match=said):
        train(Run.load(config, tmp_path, data_dir), verbose=0)
    assert sorted(path.name for path in tmp_path.glob("*") if path.is_file()) == ["config.json", "run.json"]


def test_checkpoint_of_another_network(config, data_dir, tmp_path):
    config.network.depth = 14
    other = Run(config).model
    other.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    checkpoint.set_model(other)
    checkpoint.on_epoch_end(0)
    config.network.depth = 8
    with pytest.raises(ValueError, match=r"latest\.npz holds the weights of another architecture than model 'gated'"):
        train(Run.load(config, tmp_path, data_dir))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


_MIRRORED = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import numpy as np
from tests_config import config
from keras_dynamic.experiments import Run, train
model = train(Run.load(config, sys.argv[1], sys.argv[2]), verbose=0)
print(model.count_params(), np.isfinite(model(np.zeros((1, 32, 32, 3)))).all())
"""


@pytest.mark.ci
def test_two_devices(config, finished, data_dir, tmp_path):
    config.distribute, config.anneal.a, config.epochs = "mirrored", 1.0, 2
    text = f"import ml_collections\nconfig = ml_collections.ConfigDict({config.to_dict()!r})\n"
    (tmp_path / "tests_config.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", _MIRRORED, str(tmp_path / "run"), str(data_dir)]
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert child.stdout.split() == [str(finished[1].count_params()), "True"], child.stderr
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["epochs"]) == 2


@pytest.mark.slow
def test_killed_and_run_again(finished, data_dir, tmp_path, make_config):
    config = make_config()
    changes = [f"--config.{key}={value}" for key, value in _changed(config.to_dict()).items()]
    command = [sys.executable, str(ROOT / "train_main.py"), f"--config={ROOT / 'configs/base.py'}", *changes]
    command += [f"--workdir={tmp_path}", f"--data_dir={data_dir}"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    while not (tmp_path / "checkpoint" / "latest.npz").exists() and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "model.keras").exists()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    model = load_weights(Run(config).model, tmp_path / "model.keras")
    assert_same_weights(model, finished[1], atol=1e-5)


def _changed(settings, prefix=""):
    """Returns the settings that are not base.py's, flattened."""
    from configs import base

    ours = base.get_config().to_dict()
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": new for inner, new in value.items() if new != ours[key][inner]}
        elif value != ours[key]:
            flat[key] = value
    return flat
