"""The job that measures batched serving, on a small network."""

import numpy as np
import pytest

from configs import latency
from keras_dynamic import data
from keras_dynamic.evaluation import evaluate
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import run
from keras_dynamic.experiments.jobs import timing as job
from keras_dynamic.models import resnet_cifar


@pytest.fixture
def config():
    found = latency.get_config("compact")
    found.network.depth, found.network.weights = 8, ""
    found.batch_size, found.rounds, found.exits.after = 16, 2, ("stage1_unit1",)
    return found


@pytest.fixture
def network():
    model = resnet_cifar(8)
    model.build((None, 32, 32, 3))
    return model


@pytest.mark.ci
def test_figures_and_record(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/latency.py:compact", "--record=serving"])
    figures = run(config, tmp_path / "run", record="serving")
    (record,) = records.load_all("results")
    assert record.method == "serving"
    assert record.figures == figures
    assert set(figures) == {
        "throughput_static",
        "throughput_exits",
        "throughput_units",
        "overhead_exits",
        "overhead_units",
        "difference",
    }
    assert all(value > 0 for name, value in figures.items() if name != "difference")
    assert 0 <= figures["difference"] < 1e-5
    assert records.met(record)["difference"]


def test_more_images_than_there_are(config):
    config.batch_size = 1001
    with pytest.raises(ValueError, match="batch_size must be at most the 1000 test images of 'shipped', got 1001;"):
        run(config, "nowhere")


def test_images_stop_everywhere_alike(network):
    """On the images of the fit: a third at each of two exits, a third at the end."""
    x = data.shipped().x_heldout[:90]
    model = job.with_exits(network, ["stage1_unit1", "stage2_unit1"], x)
    found = evaluate(model, x, np.zeros(90)).decisions
    assert {name: value.sum() for name, value in found.items()} == {"exit1": 60, "exit2": 30}


def test_units_run_at_random_for_each_image(network):
    x = data.shipped().x_test[:64]
    model = job.with_random_units(network, 0.5, seed=0)
    found = np.stack(list(evaluate(model, x, np.zeros(64)).decisions.values()))
    assert found.shape == (3, 64)
    assert ((found.mean(axis=1) > 0.25) & (found.mean(axis=1) < 0.75)).all()
    assert len(np.unique(found, axis=1).T) == 8  # every path of three units, so they know nothing of one another


def test_overhead_is_the_time_over_that_of_what_ran(network, monkeypatch):
    """Static 7 s, made of 5 parts: stem, head and 3 units that half of the images run, so 7 * 3.5 / 5 at best."""

    def interleave(functions, rounds):
        for function in functions.values():
            function()
        taken = {"static": 8.0, "units static": 7.0, "units compact": 5.5}
        return {name: np.full(rounds, taken.get(name, 1.0)) for name in functions}

    monkeypatch.setattr(job, "interleave", interleave)
    x = data.shipped().x_test[:16].astype("float32")
    model = job.with_random_units(network, 0.5, seed=0)
    monkeypatch.setattr(job, "shares_run", halves)
    figures = job.measure(network, {"units": model}, x, rounds=1)
    assert figures["throughput_static"] == 2.0
    assert figures["throughput_units"] == pytest.approx(16 / 5.5)
    assert figures["overhead_units"] == pytest.approx(5.5 / (7 * 3.5 / 5))


def halves(parts, decisions):
    assert set(decisions) == {part.guard for part in parts.values()} - {None}
    return {name: 0.5 if part.guard else 1.0 for name, part in parts.items()}
