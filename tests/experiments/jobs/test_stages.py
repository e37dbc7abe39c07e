"""The job that times stages beside the file with conditions, on few images."""

import pytest

from configs import latency
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import run
from keras_dynamic.lite import benchmark


@pytest.mark.slow
def test_figures_and_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/latency.py:stages_cascade", "--record=stages"])
    monkeypatch.setattr(benchmark, "LEAST_IMAGES", 20)
    config = latency.get_config("stages_cascade")
    config.images = 20
    figures = run(config, tmp_path / "run", record="stages")
    (record,) = records.load_all("results")
    assert (record.method, record.figures) == ("edge", figures)
    for precision in ("float32", "int8"):
        assert figures[f"stages_equal_{precision}"] == 1
        for kind in ("several", "joined"):
            ratio = figures[f"{kind}_ms_{precision}"] / figures[f"whole_ms_{precision}"]
            assert figures[f"{kind}_ratio_{precision}"] == pytest.approx(ratio)
    assert record.targets["joined_ratio_int8"] == "<= 1.10"
