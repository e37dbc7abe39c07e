"""Runs that are put side by side, and runs that cannot be."""

import copy
import json

import pytest

from keras_dynamic.report import comparison


@pytest.fixture
def runs(report):
    """Two runs with a system each, the second without a cascade frontier; the first one was timed."""
    units, channels = copy.deepcopy(report), copy.deepcopy(report)
    del units["systems"]["cascade"], channels["systems"]["cascade"], channels["cascade_frontier"]
    for precision in ("float32", "int8"):
        del channels["systems"]["gated"][precision]
    channels["systems"]["gated"] |= {"accuracy": 0.92, "macs_mean": 40e6}
    del channels["static"]["resnet20"]
    channels["static"]["resnet14"] = {"accuracy": 0.91, "macs": 26.4e6}
    for run in (units, channels):
        run["data"], run["images"] = "cifar10, 40 test images", 40
    return {"units": units, "channels": channels}


def test_systems_have_the_names_of_their_runs(runs):
    found = comparison.compare(runs)
    assert list(found["systems"]) == ["units", "channels"]
    assert [system["macs_mean"] for system in found["systems"].values()] == [45.9e6, 40e6]
    assert set(found["static"]) == {"resnet8", "resnet14", "resnet20", "resnet32"}
    assert found["cascade_frontier"] == runs["units"]["cascade_frontier"]
    assert (found["data"], found["images"]) == ("cifar10, 40 test images", 40)
    assert "float32" not in found["systems"]["units"]  # times of different runs do not compare


def test_several_systems_of_a_run_keep_their_own_names_too(report):
    assert list(comparison.compare({"main": report})["systems"]) == ["main-cascade", "main-gated"]


def test_runs_that_do_not_compare(runs, report):
    runs["channels"]["data"] = "cifar100, 40 test images"
    with pytest.raises(ValueError, match=r"judged on the same images, got .*'cifar100, 40 test images'.* leave"):
        comparison.compare(runs)
    with pytest.raises(ValueError, match="at least one report"):
        comparison.compare({})
    with pytest.raises(ValueError, match="Expected the key 'static'"):
        comparison.compare({"units": {"systems": {}}})


def test_the_command_writes_a_report_and_prints_the_table(runs, tmp_path, capsys):
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(run))
    folders = [f"{name}={tmp_path / name}" for name in runs]
    assert comparison.main([*folders, f"--directory={tmp_path / 'both'}"]) == 0
    printed = capsys.readouterr().out
    assert "units" in printed
    assert "channels" in printed
    assert (tmp_path / "both" / "pictures" / "accuracy_macs.png").exists()
    assert "Channels" in (tmp_path / "both" / "report.html").read_text()


@pytest.mark.parametrize("run", ["units", "units=nowhere"])
def test_a_run_without_a_report_is_named(run, tmp_path, capsys):
    assert comparison.main([run, f"--directory={tmp_path / 'both'}"]) == 1
    assert f"Expected NAME=FOLDER with a report.json in the folder, got {run!r}" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()
