"""The job that measures a network with exits as TFLite, on a toy network; no test depends on a time."""

import json

import keras
import numpy as np
import pytest

from configs import latency
from keras_dynamic import deciders, layers
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import latency as job
from keras_dynamic.experiments.jobs import run


@pytest.fixture
def config(toy_chain, toy_images, spread_exits, tmp_path):
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    exits = [layers.Exit(head, "unit1", name="exit1")]
    model = layers.DynamicModel(toy_chain(units=2, exits=exits), deciders.Confidence(), name="toy")
    model.build((None, 8, 8, 3))
    spread_exits(model, toy_images(64))
    model.save(tmp_path / "toy.keras")
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "toy.npz",
        x_train=toy_images(300, 1),
        y_train=rng.integers(0, 3, 300),
        x_test=toy_images(300, 2),
        y_test=rng.integers(0, 3, 300),
    )
    config = latency.get_config("exits")
    config.model, config.data.name, config.data.held_out, config.micro = str(tmp_path / "toy.keras"), "toy", 200, False
    return config


@pytest.mark.ci
def test_files_figures_and_pictures(config, tmp_path):
    found = run(config, tmp_path / "run", tmp_path)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    each = {f"{name}_{kind}.tflite" for name in ("dynamic", "toy_exit1", "head") for kind in ("float32", "int8")}
    assert names == each | {"figures.json", "float32.png", "int8.png"}
    written = json.loads((tmp_path / "run" / "figures.json").read_text())
    for kind in ("float32", "int8"):
        assert len(written[kind]["exit_ms"]) == 2
        assert len(written[kind]["budgets"]) == 5
        assert found[kind]["latency_ratio_max"] == max(written[kind]["exit_latency_ratio"])


def test_a_record(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/latency.py:exits", "--record=exits"])
    monkeypatch.setattr(job, "PRECISIONS", {"int8": "int8"})
    config.budgets, config.targets = 1, {"budget_error_int8": "<= 10"}
    found = run(config, tmp_path / "run", tmp_path, record="exits")["int8"]
    assert found["exits"] == ["exit1", "head"]
    (record,) = records.load_all("results")
    assert record.method == "serving"
    assert record.figures["exit1_ms_int8"] == found["exit_ms"][0]
    assert record.figures["kept_budget1_int8"] == found["budgets"][0]["kept"]


def test_a_missing_model_is_told(config, tmp_path):
    config.model = str(tmp_path / "no.keras")
    with pytest.raises(FileNotFoundError, match=r"no\.keras', which is no file; train it"):
        run(config, tmp_path / "run", tmp_path)
    assert not (tmp_path / "run").exists()
