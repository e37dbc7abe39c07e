"""A gated ResNet-8 is trained for two epochs on a few shipped images, judged, and recorded."""

import json
import math
import sys

import keras
import numpy as np
import pytest

from configs import base
from keras_dynamic import data
from keras_dynamic.evaluation import evaluate
from keras_dynamic.experiments import build_network, jobs, load_splits, records
from keras_dynamic.experiments.train_and_evaluate import table


@pytest.fixture(scope="module")
def config():
    config = base.get_config()
    config.data.name, config.data.held_out = "few", 24
    config.network.depth, config.network.weights = 8, "zoo:resnet8_cifar10_45k"
    config.epochs, config.batch_size, config.reestimate_images = 2, 32, 64
    config.method.open_probability = 0.5  # near the threshold, so that images decide differently
    config.method.distillation_weight, config.method.activation_loss = 0.5, "per_gate"
    config.anneal.a, config.anneal.k = 0.4, 1
    config.optimizer.learning_rate = 0.01
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k")
    with config.unlocked():
        config.targets.accuracy = ">= 0.99"
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    shipped = data.shipped()
    arrays = {"x_train": shipped.x_gates[:88], "y_train": shipped.y_gates[:88]}
    arrays |= {"x_test": shipped.x_test[:40], "y_test": shipped.y_test[:40]}
    np.savez(folder / "few.npz", class_names=np.array(shipped.class_names), **arrays)
    return folder


@pytest.fixture(scope="module")
def job(config, folder):
    """(what was returned, what was printed, folder)."""
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as out:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train_main.py", "--config=configs/few.py"])
        printed: list[str] = []
        out.setattr(sys.stdout, "write", lambda text: printed.append(text))
        figures = jobs.run(config, folder / "run", folder, record="few-gated")
    return figures, "".join(printed), folder


def test_figures_are_the_models_own(job, config):
    figures, _, folder = job
    model = keras.models.load_model(folder / "run" / "model.keras", compile=False)
    with np.load(folder / "few.npz") as file:
        result = evaluate(model, file["x_test"], file["y_test"])
    assert figures["accuracy"] == result.accuracy
    assert figures["macs_mean"] == result.macs.mean()
    assert figures["images"] == 40
    assert figures["macs_static"] == build_network(config.network).cost_tree.total_macs
    low, high = figures["static_twin"][0][1], figures["static_twin"][-1][1]
    assert min(low, high) <= figures["accuracy_static_twin"] <= max(low, high)
    assert set(figures["static"]) == {"resnet8_cifar10_45k", "resnet20_cifar10_45k"}
    assert {"margin_static_line", "margin_static_twin", "margin_cascade"} <= figures.keys()
    assert figures["margin_static_twin"] == pytest.approx(figures["accuracy"] - figures["accuracy_static_twin"])
    assert json.loads((folder / "run" / "figures.json").read_text()) == figures


def test_record_holds_figures_targets_and_command(job, config):
    figures, _, folder = job
    record = records.load(folder / "results" / "few-gated.json")
    assert (record.method, record.data) == ("gating", "few, 40 test images")
    assert record.network.startswith("Gated ResNet-8 (from ")
    assert record.command == "python train_main.py --config=configs/few.py"
    assert record.targets == {"accuracy": ">= 0.99"}
    assert record.figures["accuracy"] == figures["accuracy"]
    assert record.config["method"]["target"] == 0.6
    assert record.seconds >= json.loads((folder / "run" / "run.json").read_text())["seconds"]


def test_the_table_is_printed(job):
    figures, printed, _ = job
    lines = table(figures, "Gated ResNet-8").splitlines()
    assert "\n".join(lines[1:]) in printed
    assert printed.rstrip().endswith("report.html")


def test_the_report_is_written(job):
    figures, _, folder = job
    report = json.loads((folder / "run" / "report.json").read_text())
    assert (report["data"], report["images"]) == ("few, 40 test images", 40)
    assert report["command"] == "python train_main.py --config=configs/few.py"
    assert report["static"] == figures["static"]
    assert report["systems"]["gated"]["units_mean"] == figures["units_mean"]
    assert set(report["systems"]) == {"gated"}
    names = {path.stem for path in (folder / "run" / "pictures").iterdir()}
    assert {"accuracy_macs", "macs_gated", "frequent_paths_gated", "paths_gated", "inference_gated"} <= names
    page = (folder / "run" / "report.html").read_text()
    assert "Gated: which images run what" in page
    assert "Gated: inference" in page


def test_ways_to_run_the_gates_and_their_training(job):
    figures, _, _ = job
    threshold, always_on, *_ = figures["inference"]
    assert threshold == {"mode": "threshold", "tau": 0.5, **{key: figures[key] for key in ("accuracy", "macs_mean")}}
    assert always_on["macs_mean"] >= max(row["macs_mean"] for row in figures["tau_sweep"])
    assert figures["activation_history"]["epochs"] == [1, 2]
    assert list(figures["activation_history"]["rates"]) == list(figures["activation_rates"])


def test_table():
    figures = {
        "accuracy": 0.9219,
        "macs_mean": 41.6e6,
        "macs_static": 69e6,
        "macs_std": 3.14e6,
        "distinct_paths": 902,
        "units_mean": 7.804,
        "units_std": 1.251,
        "accuracy_shuffled": 0.8217,
        "accuracy_static_twin": 0.9117,
        "margin_static_line": -0.0025,
        "margin_static_twin": 0.0102,
        "activation_rates": {"stage1_unit1": 0.5},
    }
    assert (
        table(figures, "Gated ResNet-32; cifar10, 10,000 test images")
        == """\
Gated ResNet-32; cifar10, 10,000 test images
  accuracy                 92.19%
  MACs                     41.6 M of 69.0 M, 0.603
  spread                   3.1 M standard deviation, 902 paths
  units run                7.80, 1.25 standard deviation
  other images' decisions  82.17%
  static twin              91.17%
  above static line        -0.25 points
  above static twin        +1.02 points
  stage1_unit1             runs 0.500"""
    )
    lines = table({**figures, "accuracy_top5": 0.9931}, "Gated ResNet-32").splitlines()
    assert lines[2] == "  top-5 accuracy           99.31%"


@pytest.mark.ci
def test_the_same_command_measures_again_and_trains_nothing(job, config, folder):
    figures, _, _ = job
    (folder / "run" / "figures.json").unlink()
    before = (folder / "run" / "model.keras").stat().st_mtime_ns
    again = jobs.run(config, folder / "run", folder)
    assert (folder / "run" / "model.keras").stat().st_mtime_ns == before
    assert {**again, "seconds": 0} == {**figures, "seconds": 0}
    assert (folder / "run" / "figures.json").exists()


@pytest.mark.ci
def test_a_budget_is_kept_after_batch_norm_is_estimated_again(job, config, folder):
    figures, printed, _ = job
    assert "held-out images" not in printed
    other = config.copy_and_resolve_references()
    other.evaluation.update({"macs": 0.9 * figures["macs_mean"], "static": (), "inference": False})
    jobs.run(other, folder / "run", folder)
    fitted = keras.models.load_model(folder / "run" / "fitted.keras", compile=False)
    held_out = load_splits(config.data, folder).held_out
    assert 0.8 * other.evaluation.macs < evaluate(fitted, *held_out).macs.mean() <= other.evaluation.macs
    trained = keras.models.load_model(folder / "run" / "model.keras", compile=False)
    assert fitted.decider.tau > trained.decider.tau
    assert any((a != b).any() for a, b in zip(fitted.chain.get_weights(), trained.chain.get_weights(), strict=True))


@pytest.mark.ci
def test_decisions_that_nearly_all_images_share_are_settled(job, config, folder):
    rates = job[0]["activation_rates"]
    other = config.copy_and_resolve_references()
    other.evaluation.update({"freeze": 0.45, "static": (), "inference": False})
    figures = jobs.run(other, folder / "run", folder)
    fitted = keras.models.load_model(folder / "run" / "fitted.keras", compile=False)
    assert figures["decisions_frozen"] == len(fitted.decider.frozen) > 0
    found = figures["activation_rates"]
    assert {name: found[name] for name in fitted.decider.frozen} == fitted.decider.frozen
    assert list(found) == list(rates)


def test_jobs_that_cannot_be(config, tmp_path):
    both = config.copy_and_resolve_references()
    both.evaluation.update({"usage": 0.5, "macs": 1e6})
    with pytest.raises(ValueError, match=r"evaluation\.usage or to evaluation\.macs, got 0\.5 and 1,000,000; set one"):
        jobs.run(both, tmp_path)
    for method, share, message in (
        ("sgad", 0.1, "evaluation.freeze is for gates, got method 'sgad'; set it to 0"),
        ("activation_gating", 5.0, "evaluation.freeze must be a share of the images under one half, got 5.0"),
    ):
        freezing = config.copy_and_resolve_references()
        freezing.evaluation.freeze, freezing.method.name = share, method
        with pytest.raises(ValueError, match=message):
            jobs.run(freezing, tmp_path)
    for setting, value, message in (
        ("usage", 1e30, r"evaluation\.usage must be a number between 0 and 1, got 1e\+30"),
        ("macs", math.inf, r"evaluation\.macs must be a non-negative number, got inf"),
        ("twin_images", 0, r"evaluation\.twin_images must be a whole number of at least 1, got 0"),
        ("freeze", -0.1, r"evaluation\.freeze must be a share of the images under one half, got -0\.1"),
    ):
        wrong = config.copy_and_resolve_references()
        wrong.evaluation[setting] = value
        with pytest.raises(ValueError, match=message):
            jobs.run(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    other = base.get_config()
    other.job = "quickstrat"
    with pytest.raises(ValueError, match=r"job must be one of .* got 'quickstrat' \(did you mean 'quickstart'\?\)"):
        jobs.run(other, tmp_path)
