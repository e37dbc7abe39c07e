"""train_main with two workers on this machine: one training, written by the chief; and one worker without the data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_dynamic.experiments.workers import start_workers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = (
    f"--config={ROOT / 'configs' / 'base.py'}",
    "--config.data.name=tiny",
    "--config.data.held_out=16",
    "--config.network.depth=8",
    "--config.network.num_classes=4",
    "--config.network.weights=",
    "--config.epochs=2",
    "--config.batch_size=16",
    "--config.reestimate_images=32",
    "--config.anneal.a=0.8",
    "--config.anneal.k=1",
    "--config.evaluation.inference=False",
)
# Worker 1 looks for the data elsewhere.
_APART = """
import json, os, sys
sys.path.insert(0, os.getcwd())
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    sys.argv = [each.replace("/there", "/nowhere") for each in sys.argv]
import train_main
from absl import app
app.run(train_main.main, flags_parser=train_main.parse)
"""


def train_main(*given):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(ROOT / "train_main.py"), *TINY, *given]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_one_training_of_two_workers(data_dir, tmp_path):
    done = train_main(f"--workdir={tmp_path}", f"--data_dir={data_dir}", "--workers=2")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert len(record["epochs"]) == 2
    assert record["config"]["distribute"] == "workers"
    assert "finished" in record
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert 0 <= figures["accuracy"] <= 1
    assert not (tmp_path / "checkpoint").exists()
    assert keras.models.load_model(tmp_path / "model.keras", compile=False).built
    measured = ["static twin" in (tmp_path / f"worker_{k}.log").read_text() for k in range(2)]
    assert measured == [True, False]


def test_a_worker_without_the_data(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "there").symlink_to(data_dir)
    (tmp_path / "apart.py").write_text(_APART)
    command = [sys.executable, str(tmp_path / "apart.py"), *TINY, "--config.distribute=workers"]
    command += [f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'there'}"]
    with pytest.raises(ChildProcessError, match=r"worker [01] ended with code 1: "):
        start_workers(command, 2, tmp_path / "logs", 300)
    said = (tmp_path / "logs" / "worker_1.log").read_text()
    assert f"Expected data_dir to be a folder that holds 'tiny', got '{tmp_path / 'nowhere'}'" in said
    assert not (tmp_path / "run").exists()
