"""Figures become records in results/ of the folder where the command was given."""

import datetime
import json
import sys

import pytest

from configs import plain
from keras_dynamic.experiments import jobs, records


def test_nested_figures_get_their_precision_as_suffix():
    figures = {
        "accuracy": 0.9,
        "float32": {"overhead": 1.0},
        "int8": {"overhead": 1.1, "unit_ms": {"stem": 1.0}},
        "rates": {},
    }
    assert records.flat(figures) == {"accuracy": 0.9, "overhead_float32": 1.0, "overhead_int8": 1.1}


def test_folders_of_data_and_weights_stand_as_variables(monkeypatch):
    monkeypatch.setenv("DATA_DIR", "/mnt/pictures")
    monkeypatch.setenv("WEIGHTS_DIR", "/mnt/weights")
    monkeypatch.setattr(sys, "argv", ["train_main.py", "--data_dir=/mnt/pictures", "--w=/mnt/weights/a.npz"])
    assert records.command_line() == "python train_main.py --data_dir=$DATA_DIR --w=$WEIGHTS_DIR/a.npz"


def test_what_a_shell_would_take_for_itself_is_quoted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tflite/benchmark.py", "--targets=overhead_int8<=1.12", "--config=a.py:b"])
    assert records.command_line() == "python tflite/benchmark.py '--targets=overhead_int8<=1.12' --config=a.py:b"


def test_a_command_with_an_absolute_path_is_refused_before_the_job_runs(monkeypatch, tmp_path):
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", ["train_main.py", "--data_dir=/mnt/pictures"])
    with pytest.raises(
        ValueError, match=r"expected \$DATA_DIR or \$WEIGHTS_DIR, no absolute path, got '/mnt/pictures'"
    ):
        jobs.run(plain.get_config(), tmp_path / "run", "/mnt/pictures", "row-1")
    assert not (tmp_path / "run").exists()


def test_the_head_of_a_report(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_main.py", "--config=a.py"])
    found = records.facts("set, 40 test images", 3)
    assert (found["data"], found["seed"]) == ("set, 40 test images", 3)
    assert found["command"] == "python train_main.py --config=a.py"
    assert found["date"] == datetime.date.today().isoformat()
    assert found["machine"]


def test_a_record_is_written_where_the_command_was_given(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_main.py"])
    path = records.write_record(
        "row-1", "static", "ResNet-8", "set", {"seed": 3}, {"accuracy": 0.5, "note": "x"}, {}, 1.25
    )
    content = json.loads((tmp_path / path).read_text())
    assert content["figures"] == {"accuracy": 0.5}
    assert (content["seed"], content["seconds"]) == (3, 1.2)


def test_a_target_without_its_figure_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_main.py"])
    with pytest.raises(ValueError, match="margin"):
        records.write_record("row-1", "static", "n", "d", {}, {"accuracy": 0.5}, {"margin": ">= 0"}, 1.0)
    assert not (tmp_path / "results").exists()


def test_sections_inside_tuples_are_written_as_dictionaries(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_main.py"])
    settings = plain.get_config().to_dict()
    records.write_record("row-2", "static", "n", "d", settings, {"accuracy": 0.5}, {}, 1.0)
    content = json.loads((tmp_path / "results" / "row-2.json").read_text())
    assert content["config"]["networks"][0]["depth"] == 8
