"""The job that holds files with a budget against the paths of images, on a toy network."""

import keras
import numpy as np
import pytest

from configs import ddi
from keras_dynamic import lite
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import budget_input as job
from keras_dynamic.experiments.jobs import run
from keras_dynamic.layers import Exit
from tests.layers import grouped


def _head():
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]


@pytest.fixture
def config(tmp_path):
    """The job's config for a network of three units, gated as a whole and by groups, with two exits."""
    images = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3)).astype(np.uint8)
    exits = [Exit(_head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    grouped.guarded(images[:40], 3, exits).save(tmp_path / "toy.keras")
    labels = np.random.default_rng(1).integers(0, 3, 120)
    np.savez(tmp_path / "toy.npz", x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    config = ddi.get_config("resnet32_cpu_limits")
    config.model, config.data.name, config.data.held_out = str(tmp_path / "toy.keras"), "toy", 60
    config.limits, config.budgets, config.micro_images = (4e5,), 4, 8
    return config


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
def test_files_keep_their_budgets_and_a_record_says_so(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/ddi.py:limits", "--record=limits"])
    figures = run(config, tmp_path / "run", tmp_path, record="limits")
    for precision in ("float32", "int8"):
        assert {name: figures[f"{name}_{precision}"] for name in ddi.BROKEN} == dict.fromkeys(ddi.BROKEN, 0)
        assert figures[f"runs_{precision}"] == 30 * 5
        assert figures[f"micro_runs_{precision}"] == 8 * 4
        assert figures[f"macs_max_limit1_{precision}"] > 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"budget_float32.tflite", "budget_int8.tflite"}
    (record,) = records.load_all("results")
    assert record.method == "ddi"


@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
def test_a_stop_too_late_is_counted(config, tmp_path):
    """The oracle can fail: of files that are given another budget than it is told, it finds what they exceed."""
    config.micro_images = 1
    run(config, tmp_path / "run", tmp_path)
    content = (tmp_path / "run" / "budget_float32.tflite").read_bytes()
    images = np.load(tmp_path / "toy.npz")["x_test"]
    file = job._File(content, lite.Interpreter(content), images)
    least, whole = file.ends
    over, elsewhere = file.faults(least, file.run(whole))
    assert over == elsewhere == 30
    assert not file.faults(whole, file.run(whole)).any()
