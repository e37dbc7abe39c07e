"""Runs compared seed by seed."""

import json

import pytest

from configs import imta
from keras_dynamic.experiments.jobs import run


@pytest.fixture
def config(tmp_path):
    accuracies = {"plain": (0.40, 0.42, 0.44), "ge": (0.41, 0.43, 0.45), "ge_isc_ofa": (0.42, 0.45, 0.45)}
    config = imta.get_config("cifar100_cpu_compared")
    for way, values in accuracies.items():
        folders = []
        for seed, value in enumerate(values):
            folder = tmp_path / f"{way}_{seed}"
            folder.mkdir()
            (folder / "figures.json").write_text(json.dumps({"accuracy_exits_mean": value, "seconds": 100 + seed}))
            folders.append(str(folder))
        config.runs[way] = tuple(folders)
    return config


def test_means_and_differences(config, tmp_path):
    found = run(config, tmp_path)
    assert found["accuracy_plain"] == pytest.approx(0.42)
    assert found["accuracy_std_plain"] == pytest.approx(0.02)
    assert found["margin_ge"] == pytest.approx(0.01)  # alike for every seed
    assert found["margin_std_ge"] == pytest.approx(0, abs=1e-9)
    # differences 0.02, 0.03, 0.01: their mean and standard deviation
    assert found["margin_ge_isc_ofa"] == pytest.approx(0.02)
    assert found["margin_std_ge_isc_ofa"] == pytest.approx(0.01)
    assert found["deviations_ge_isc_ofa"] == pytest.approx(2)
    assert (found["seconds_max"], found["seconds_sum"]) == (102, 909)


def test_the_training_that_a_run_started_from_counts_once(config, tmp_path):
    (tmp_path / "ge_0" / "run.json").write_text(json.dumps({"seconds": 40}))
    (tmp_path / "ge_isc_ofa_0" / "config.json").write_text(json.dumps({"start_from": str(tmp_path / "ge_0")}))
    assert run(config, tmp_path)["seconds_sum"] == 909 - 40


def test_seeds_must_match(config, tmp_path):
    config.runs.ge = config.runs.ge[:2]
    with pytest.raises(ValueError, match="same number of seeds, at least 2, got"):
        run(config, tmp_path)


def test_a_run_that_is_not_there(config, tmp_path):
    config.runs.ge = ("nowhere", *config.runs.ge[1:])
    with pytest.raises(FileNotFoundError, match="is not there; run the training"):
        run(config, tmp_path)
