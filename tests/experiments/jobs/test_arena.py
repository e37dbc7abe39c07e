"""The job that measures memory on TensorFlow Lite Micro: gated ResNet-8."""

import pytest

from configs.latency import get_config
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import run


@pytest.mark.ci
def test_gates_at_full_resolution_take_little_memory_with_a_plan(tmp_path, monkeypatch):
    pytest.importorskip("tflite_micro")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/latency.py:arena_gated8", "--record=arena"])
    config = get_config("arena_gated8")
    config.images = 10
    figures = run(config, tmp_path / "run", record="arena")
    assert figures["arena_unplanned_ratio"] > 1.5
    assert figures["arena_bytes"] < figures["arena_unplanned_bytes"] - 32 * 32 * 16
    (record,) = records.load_all("results")
    assert records.met(record) == {"arena_ratio": True, "skippable_share": True, "equal": True}
