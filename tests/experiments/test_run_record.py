import json

import numpy as np
import pytest

from keras_dynamic.experiments import RunRecord
from keras_dynamic.experiments.run_record import commit, versions

CONFIG = {"seed": 3, "method": {"target": 0.6, "always": ("a", "b")}, "optimizer": {"learning_rate": 0.1}}


def started(workdir, config=CONFIG):
    record = RunRecord(workdir, config)
    with record.running():
        return record


def test_writes_what_is_run(tmp_path):
    record = started(tmp_path / "runs" / "one")
    record.add_epoch(0, {"val_accuracy": np.float32(0.5)})
    record.finish({"val_accuracy": np.float32(0.5), "best_epoch": 0})
    content = json.loads((tmp_path / "runs/one/run.json").read_text())
    assert content["config"] == {**CONFIG, "method": {"target": 0.6, "always": ["a", "b"]}}
    assert json.loads((tmp_path / "runs/one/config.json").read_text()) == content["config"]
    assert content["seed"] == 3
    assert content["epochs"] == [{"val_accuracy": 0.5}]
    assert content["figures"] == {"val_accuracy": 0.5, "best_epoch": 0}
    assert content["versions"] == versions()
    assert content["commit"] == commit()
    assert content["started"] <= content["finished"]
    assert content["argv"]
    assert content["machine"]
    assert content["seconds"] >= 0


def test_two_runs_in_a_folder_are_refused(tmp_path):
    record = started(tmp_path / "one")
    with (
        record.running(),
        pytest.raises(BlockingIOError, match=r"another run is writing into .*one'; wait for its end"),
    ):
        started(tmp_path / "one")
    assert started(tmp_path / "one").epochs == []


def test_what_killed_runs_left_is_deleted(tmp_path):
    record = started(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / ".partial_7_latest.npz").write_bytes(b"half")
    (tmp_path / ".partial_report").mkdir()
    (tmp_path / ".partial_report" / "page.html").write_bytes(b"half")
    with record.running():
        left = sorted(path.name for path in tmp_path.rglob("*"))
    assert left == ["checkpoint", "config.json", "run.json"]


def test_time_does_not_run_backwards_with_the_clock(tmp_path, monkeypatch):
    record = started(tmp_path)
    monkeypatch.setattr("time.time", lambda: 0.0)
    record.add_epoch(0, {"loss": 1.0})
    assert json.loads(record.path.read_text())["seconds"] >= 0


def test_nothing_is_written_before_the_start(tmp_path):
    RunRecord(tmp_path / "one", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_another_configs_run_is_refused_with_the_keys_that_differ(tmp_path):
    started(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = {"seed": 4, "method": {"target": 0.5, "always": ("a", "b")}, "optimizer": {"learning_rate": 0.1}}
    with pytest.raises(ValueError, match=r"holds the run of another config \(different: method\.target, seed\); give"):
        RunRecord(tmp_path, other)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_key_differs_too(tmp_path):
    started(tmp_path)
    with pytest.raises(ValueError, match=r"\(different: epochs\)"):
        RunRecord(tmp_path, {**CONFIG, "epochs": 4})


def test_a_resumed_run_keeps_its_epochs_and_its_time(tmp_path):
    record = started(tmp_path)
    for epoch in range(3):
        record.add_epoch(epoch, {"loss": float(epoch)})
    content = json.loads(record.path.read_text())
    record.path.write_text(json.dumps({**content, "seconds": 100.0}))
    again = started(tmp_path)
    assert not again.finished
    assert again.seconds >= 100
    again.add_epoch(1, {"loss": 9.0})  # the run went on after epoch 0
    assert again.epochs == [{"loss": 0.0}, {"loss": 9.0}]
    again.finish({"loss": 9.0})
    assert RunRecord(tmp_path, CONFIG).finished
    assert RunRecord(tmp_path, CONFIG).figures == {"loss": 9.0}


def test_files_that_no_run_wrote_are_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("my notes")
    with pytest.raises(
        ValueError,
        match=r"config\.json: expected a JSON object, got no JSON .*; no run wrote it, so give another --workdir",
    ):
        RunRecord(tmp_path, CONFIG)
    assert (tmp_path / "config.json").read_text() == "my notes"
    (tmp_path / "config.json").unlink()
    (tmp_path / "run.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"run\.json lacks what a run writes; no run wrote it, so give another"):
        RunRecord(tmp_path, CONFIG)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file' is a file; give a folder"):
        RunRecord(tmp_path / "file", CONFIG)
