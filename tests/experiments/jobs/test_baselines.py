"""BlockDrop on a ResNet-8 and a few shipped images, in two runs, and the fixed patterns beside it."""

import contextlib
import json
import re
import shutil
import sys

import keras
import numpy as np
import pytest

from configs import blockdrop
from keras_dynamic import data
from keras_dynamic.deciders import DistributeK, FirstK, Pattern, RandomK
from keras_dynamic.evaluation import evaluate, pattern_macs
from keras_dynamic.experiments import build_network, jobs, records
from keras_dynamic.experiments.jobs.baselines import ROWS, table
from keras_dynamic.layers import DynamicModel

EPOCHS = {"curriculum": 2, "finetuning": 1}
pytestmark = pytest.mark.ci  # two runs, then four patterns finetuned
PATTERNS = ("first_k", "random_k", "distribute_k", "greedy")


def tiny(config):
    config.data.name, config.data.held_out = "few", 24
    config.network.depth, config.network.weights = 8, "zoo:resnet8_cifar10_45k"
    config.batch_size, config.mixed_precision = 32, False
    config.optimizer.learning_rate = 0.01
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with few.npz and the two BlockDrop runs, in which the tests stand."""
    folder = tmp_path_factory.mktemp("baselines")
    shipped = data.shipped()
    arrays = {"x_train": shipped.x_gates[:88], "y_train": shipped.y_gates[:88]}
    arrays |= {"x_test": shipped.x_test[:40], "y_test": shipped.y_test[:40]}
    np.savez(folder / "few.npz", class_names=np.array(shipped.class_names), **arrays)
    for stage in ("curriculum", "finetuning"):
        config = tiny(blockdrop.defaults())
        config.epochs, config.method.stage = EPOCHS[stage], stage
        config.curriculum.epochs, config.curriculum.steps = 0, 1
        # A policy that skips what it may: one unit runs, on all images.
        config.method.always, config.method.open_probability = ("stage1_unit1",), 0.1
        config.optimizer.learning_rate = 1e-5
        untrained = pytest.warns(UserWarning, match="a policy that has not been trained")
        with untrained if stage == "finetuning" else contextlib.nullcontext():
            jobs.run(config, folder / stage, folder)
    path = folder / "curriculum" / "figures.json"  # as if four images in ten ran one more
    path.write_text(json.dumps(json.loads(path.read_text()) | {"units_mean": 0.4}))
    return folder


def settings(folder):
    config = tiny(blockdrop.get_config("resnet32_cpu_baselines"))
    config.epochs, config.reestimate_images, config.evaluation.twin_images = 1, 64, 20
    config.runs.curriculum, config.runs.finetuning = str(folder / "curriculum"), str(folder / "finetuning")
    return config


@pytest.fixture
def config(folder):
    """The job's config."""
    return settings(folder)


@pytest.fixture(scope="module")
def job(folder):
    """(what was returned, what was printed)."""
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as out:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train_main.py", "--config=configs/few.py"])
        printed: list[str] = []
        out.setattr(sys.stdout, "write", lambda text: printed.append(text))
        found = jobs.run(settings(folder), folder / "job", folder, record="few")
    return found, "".join(printed)


def test_as_many_units_as_blockdrop_runs_rounded_up(job):
    found, _ = job
    for stage, mean, k in (("pretrained", 1.4, 2), ("finetuned", 1.0, 1)):
        rows = found[stage]
        assert (rows["blockdrop"]["units"], rows["k"]) == (mean, k)
        assert [len(rows[name]["runs"]) for name in PATTERNS] == [k] * 4
        assert [rows[name]["units"] for name in PATTERNS] == [k] * 4


def test_blockdrops_rows_are_those_of_its_runs(job, folder):
    found, _ = job
    for stage, trained in (("pretrained", "curriculum"), ("finetuned", "finetuning")):
        figures = json.loads((folder / trained / "figures.json").read_text())
        row = found[stage]["blockdrop"]
        assert (row["accuracy"], row["macs"]) == (figures["accuracy"], figures["macs_mean"])
        assert found[stage]["epochs_blockdrop"] == EPOCHS[trained]


def test_patterns_without_finetuning_are_the_networks_own_weights(job, config, folder):
    found, _ = job
    rows, k = found["pretrained"], found["pretrained"]["k"]
    with np.load(folder / "few.npz") as file:
        x, y = file["x_test"], file["y_test"]
    for name, decider in (("first_k", FirstK(k)), ("random_k", RandomK(k)), ("distribute_k", DistributeK(k))):
        model = DynamicModel(build_network(config.network).chain, decider)
        model.build((None, 32, 32, 3))
        assert rows[name]["accuracy"] == evaluate(model, x, y).accuracy
        assert rows[name]["macs"] == pattern_macs(model, decider.pattern(decider.names))
    network = build_network(config.network)
    assert rows["full"]["accuracy"] == evaluate(network, x, y).accuracy
    assert (rows["full"]["units"], rows["full"]["macs"]) == (3, network.cost_tree.total_macs)


def test_the_greedy_mask_is_the_best_one_step_after_the_other(job, config, folder):
    found, _ = job
    with np.load(folder / "few.npz") as file:
        x, y = file["x_train"][64:84], file["y_train"][64:84]
    model = DynamicModel(
        build_network(config.network).chain, Pattern(dict.fromkeys(found["pretrained"]["full"]["runs"], 1))
    )
    model.build((None, 32, 32, 3))

    def accuracy(units):
        runs = {name: np.full(len(x), name in units) for name in model.decision_names}
        return evaluate(model, x, y, runs).accuracy

    units = list(model.decision_names)
    masks = {3: list(units)}
    while units:
        units.remove(max(units, key=lambda name: accuracy(set(units) - {name})))
        masks[len(units)] = list(units)
    for rows in found.values():
        assert rows["greedy"]["runs"] == masks[rows["k"]]


def test_finetuned_patterns_are_judged_on_the_test_images(job, folder):
    found, _ = job
    rows, k = found["finetuned"], found["finetuned"]["k"]
    with np.load(folder / "few.npz") as file:
        x, y = file["x_test"], file["y_test"]
    for name in PATTERNS:
        model = keras.models.load_model(folder / "job" / f"{name}_{k}" / "model.keras", compile=False)
        result = evaluate(model, x, y)
        assert (result.accuracy, result.macs.mean()) == (rows[name]["accuracy"], rows[name]["macs"])
        assert [name for name, runs in result.decisions.items() if runs.all()] == rows[name]["runs"]
        settings = json.loads((folder / "job" / f"{name}_{k}" / "config.json").read_text())
        assert settings["method"]["distillation_weight"] == 1.0


def test_figures_and_table(job, folder):
    found, printed = job
    assert json.loads((folder / "job" / "figures.json").read_text()) == found
    assert table(found, "").strip("\n") in printed
    title = "ResNet-8 (resnet8_cifar10_45k); few, 40 test images; epochs of finetuning: 1, of BlockDrop's: 1"
    assert title in printed


def test_records(job, folder):
    found, _ = job
    for stage, rows in found.items():
        record = records.load(folder / "results" / f"few-{stage}.json")
        assert (record.method, record.data) == ("blockdrop", "few, 40 test images")
        network = f"Greedy static mask, {rows['k']} of 3 units of ResNet-8 (resnet8_cifar10_45k), {stage}"
        assert record.network == network
        assert record.figures["accuracy"] == rows["greedy"]["accuracy"]
        assert record.figures["accuracy_first_k"] == rows["first_k"]["accuracy"]
        assert record.figures["units_blockdrop"] == rows["blockdrop"]["units"]
        margin = rows["blockdrop"]["accuracy"] - rows["greedy"]["accuracy"]
        assert record.figures["margin_greedy"] == pytest.approx(margin)
        assert record.targets == {"margin_greedy": ">= 0"}


def test_run_again_it_searches_and_trains_nothing_and_re_estimates_batch_norm_if_asked(job, config, folder):
    found, _ = job
    kept = [*(folder / "job").glob("*/model.keras"), folder / "job" / "greedy" / "run.json"]
    assert len(kept) == 5
    before = [path.stat().st_mtime_ns for path in kept]
    config.reestimate_pretrained = True
    again = jobs.run(config, folder / "job", folder)
    assert [path.stat().st_mtime_ns for path in kept] == before
    for name in ROWS:
        assert {**again["finetuned"][name], "seconds": 0} == {**found["finetuned"][name], "seconds": 0}
    one, other = again["pretrained"], found["pretrained"]
    assert [one[name]["runs"] for name in PATTERNS] == [other[name]["runs"] for name in PATTERNS]
    assert any(one[name]["accuracy"] != other[name]["accuracy"] for name in PATTERNS)
    assert one["full"] == other["full"]


def test_another_searchs_folder_is_left_alone(job, config, folder):
    config.evaluation.twin_images = 10
    before = (folder / "job" / "greedy" / "run.json").read_bytes()
    with pytest.raises(
        ValueError, match=r"greedy' holds the run of another config \(different: images\); give another"
    ):
        jobs.run(config, folder / "job", folder)
    assert (folder / "job" / "greedy" / "run.json").read_bytes() == before


def test_table():
    row = {"accuracy": 0.165, "units": 10, "macs": 47.2e6}
    ours = {"accuracy": 0.886, "units": 9.4, "macs": 55e6}
    stage = {**dict.fromkeys(ROWS, row), "blockdrop": ours}
    assert (
        table({"pretrained": stage, "finetuned": stage}, "Title")
        == """\
Title

              accuracy  units    MACs  finetuned  units    MACs
FirstK         16.50 %     10  47.2 M    16.50 %     10  47.2 M
RandomK        16.50 %     10  47.2 M    16.50 %     10  47.2 M
DistributeK    16.50 %     10  47.2 M    16.50 %     10  47.2 M
Greedy mask    16.50 %     10  47.2 M    16.50 %     10  47.2 M
BlockDrop      88.60 %    9.4  55.0 M    88.60 %    9.4  55.0 M
Full network   16.50 %     10  47.2 M    16.50 %     10  47.2 M"""
    )


def test_patterns_are_finetuned_as_blockdrop_is():
    config, theirs = (blockdrop.get_config(f"resnet32_cpu_{kind}") for kind in ("baselines", "finetuning"))
    for name in ("optimizer", "network", "data", "batch_size", "reestimate_images", "mixed_precision"):
        assert config[name] == theirs[name]
    for name in ("weight_decay", "distillation_weight", "distillation_temperature"):
        assert config.method[name] == theirs.method[name]


def refused(config, folder, tmp_path, error, message):
    with pytest.raises(error, match=message):
        jobs.run(config, tmp_path / "job", folder)
    assert not (tmp_path / "job").exists()


def test_runs_that_are_not_there(config, folder, tmp_path):
    config.runs.finetuning = str(tmp_path / "nowhere")
    command = f"--config=configs/blockdrop.py:resnet32_cpu_finetuning --workdir={tmp_path}/nowhere --data_dir={folder}"
    message = f"there is no .*nowhere/figures.json, .* first run `python train_main.py {re.escape(command)}`"
    refused(config, folder, tmp_path, FileNotFoundError, message)


def test_runs_that_are_others(config, folder, tmp_path):
    config.runs.curriculum = config.runs.finetuning
    message = "runs.curriculum must be a run of BlockDrop's curriculum, but .*finetuning is one of blockdrop finetuning"
    refused(config, folder, tmp_path, ValueError, message)


def test_runs_of_another_network(config, folder, tmp_path):
    config.network.weights = ""
    refused(config, folder, tmp_path, ValueError, "runs.curriculum must be a run on .*'weights': ''.* give another")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", ": expected a JSON object, got no JSON"), ('{"accuracy": 1}', " lacks units_mean, macs_mean")],
)
def test_broken_figures(config, folder, tmp_path, text, message):
    shutil.copytree(folder / "curriculum", tmp_path / "broken", ignore=shutil.ignore_patterns("*.keras", "pictures"))
    (tmp_path / "broken" / "figures.json").write_text(text)
    config.runs.curriculum = str(tmp_path / "broken")
    refused(config, folder, tmp_path, ValueError, f"broken/figures.json{message}.* `python train_main.py --config=")
