"""tflite/export_model.py, run as a user runs it."""

import importlib
import json

import keras
import numpy as np
import pytest

import keras_dynamic as kd

SCRIPT = "export_model.py"

LAYER = """
import keras
import keras_dynamic as kd


@keras.saving.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x


@kd.cost.register(Doubled)
def _cost(layer, inputs):
    return 0
"""


def test_int8_with_all_outputs(run, saved, model, images, tmp_path):
    np.savez(tmp_path / "calibration.npz", x=images)
    done = run(
        SCRIPT,
        f"--model={saved}",
        "--quantize=int8",
        "--calibration=calibration.npz",
        "--outputs=logits,decisions,macs",
        "--output=out/gated.tflite",
    )
    assert (done.returncode, done.stderr) == (0, "")
    content = (tmp_path / "out" / "gated.tflite").read_bytes()
    found = kd.lite.verify(content)
    assert found.quantize == "int8"
    assert found.macs_all_on == model.cost_tree.total_macs
    assert "decisions   2: unit1, unit2\n" in done.stdout
    assert f"{found.macs_all_on:,} with all decisions on, {found.macs_all_off:,} with all off" in done.stdout
    assert kd.lite.Interpreter(content).outputs.keys() == {"logits", "decisions", "macs"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["gated.tflite"]


@pytest.mark.ci
def test_cascade_from_the_zoo_within_a_budget(run, tmp_path):
    budget = 25e6
    done = run(
        SCRIPT,
        "--model=zoo:resnet8_cifar10_45k,zoo:resnet20_cifar10_45k",
        f"--macs={budget}",
        "--outputs=logits,decisions",
        "--output=cascade.tflite",
    )
    assert (done.returncode, done.stderr) == (0, "")
    content = (tmp_path / "cascade.tflite").read_bytes()
    assert kd.lite.verify(content).decisions == ("resnet20_cifar10_45k",)
    interpreter = kd.lite.Interpreter(content)
    held_out = kd.data.shipped().x_heldout[:200]
    share = np.mean([interpreter.run(image)["decisions"].item() for image in held_out])
    cheap, dear = (kd.zoo.describe(f"resnet{depth}_cifar10_45k")["macs"] for depth in (8, 20))
    assert 0 < share < 1
    assert cheap + share * dear <= 1.2 * budget  # fitted on all 500 images, counted on 200
    macs = float(done.stdout.split(" right at ")[1].split(" MACs")[0].replace(",", ""))
    assert cheap < macs <= budget


def test_budgets_of_milliseconds_and_a_deadline(run, stopping, images, tmp_path):
    stopping.save(tmp_path / "exits.keras")
    np.save(tmp_path / "held_out.npy", images)
    parts = {part.name: 1.0 for part in stopping.cost_tree.children}
    (tmp_path / "costs.json").write_text(json.dumps({"float32": {"unit_ms": parts, "decider_ms": 0.5}}))
    files = ["--model=exits.keras", "--output=exits.tflite", "--calibration=held_out.npy", "--costs=costs.json"]
    everything = sum(parts.values()) + 0.5
    done = run(SCRIPT, *files, f"--ms={everything - 0.25}", "--outputs=logits,decisions")
    assert (done.returncode, done.stderr) == (0, "")
    spent = float(done.stdout.split(": ")[1].split(" ms")[0])
    assert 0.5 < spent <= everything - 0.25
    done = run(SCRIPT, *files, f"--deadline={everything - 0.25}", "--outputs=logits,decisions")
    assert (done.returncode, done.stderr) == (0, "")
    assert kd.lite.verify((tmp_path / "exits.tflite").read_bytes()).conditionals == 0  # every image stops at the exit
    for flags, words in (
        ([], "--costs is for a budget, got none; give --ms"),
        (["--ms=0.1"], "ms per image, the least that this network can do with"),
        (["--deadline=0.1"], "the deadline must be at least"),
    ):
        done = run(SCRIPT, *files, *flags)
        assert done.returncode == 1
        assert words in done.stderr


def test_thresholds_as_an_input_with_a_table_of_budgets(run, stopping, images, tmp_path):
    trained = kd.layers.DynamicModel(stopping.chain)  # decides nothing yet
    trained.build(stopping.image_shape)
    trained.save(tmp_path / "exits.keras")
    np.save(tmp_path / "held_out.npy", images)
    files = ["--model=exits.keras", "--output=exits.tflite", "--calibration=held_out.npy"]
    done = run(SCRIPT, *files, "--thresholds=input")
    assert (done.returncode, done.stderr) == (0, "")
    content = (tmp_path / "exits.tflite").read_bytes()
    assert sorted(kd.lite.Interpreter(content).inputs) == ["image", "thresholds"]
    assert len(kd.lite.read_metadata(content)["budgets"]) == 25


def test_a_budget_that_no_image_exceeds(run, stopping, tmp_path):
    trained = kd.layers.DynamicModel(stopping.chain)
    trained.build(stopping.image_shape)
    trained.save(tmp_path / "exits.keras")
    files = ["--model=exits.keras", "--output=exits.tflite"]
    done = run(SCRIPT, *files, "--budget=input")
    assert (done.returncode, done.stderr) == (0, "")
    content = (tmp_path / "exits.tflite").read_bytes()
    assert sorted(kd.lite.Interpreter(content).inputs) == ["budget", "image"]
    least = kd.lite.read_metadata(content)["budget"]["least"]
    done = run(SCRIPT, *files, f"--budget={least}")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(kd.lite.Interpreter((tmp_path / "exits.tflite").read_bytes()).inputs) == ["image"]
    for budget, words in ((least - 1, "a budget must be at least"), ("much", "--budget must be 'input' or a number")):
        done = run(SCRIPT, *files, f"--budget={budget}")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert words in done.stderr


def test_layers_of_ones_own_are_imported_from_where_the_command_is_given(run, tmp_path, monkeypatch):
    (tmp_path / "own_layers.py").write_text(LAYER)
    monkeypatch.syspath_prepend(tmp_path)
    doubled = importlib.import_module("own_layers").Doubled()
    unit = kd.layers.Residual([keras.layers.Conv2D(4, 3, padding="same"), doubled], name="unit")
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    chain = kd.layers.Chain(keras.layers.Conv2D(4, 3, padding="same"), [unit], head)
    model = kd.layers.DynamicModel(chain, kd.deciders.PerUnitGates())
    model.build((None, 8, 8, 3))
    model.save(tmp_path / "own.keras")
    without = run(SCRIPT, "--model=own.keras", "--output=own.tflite", KERAS_BACKEND="numpy")
    assert without.returncode == 1
    assert "own.keras holds a Doubled, which is not imported; name its module: --imports=MODULE" in without.stderr
    done = run(SCRIPT, "--model=own.keras", "--imports=own_layers", "--output=own.tflite")
    assert (done.returncode, done.stderr) == (0, "")
    assert kd.lite.verify((tmp_path / "own.tflite").read_bytes()).decisions == ("unit",)


@pytest.fixture
def bad_files(tmp_path, saved, images):
    (tmp_path / "cut.keras").write_bytes(saved.read_bytes()[:2000])
    (tmp_path / "cut.npz").write_bytes(b"PK")
    np.savez(tmp_path / "names.npz", pictures=images)
    np.save(tmp_path / "unlabelled.npy", images)
    np.save(tmp_path / "small.npy", images[:, :8])
    (tmp_path / "folder").mkdir()


SHIPPED = "--calibration=shipped"
ZOO = "--model=zoo:resnet8_cifar10_45k,zoo:resnet20_cifar10_45k"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model=none.keras"], "got 'none.keras', which is no file"),
        (["--model=cut.keras"], "cut.keras is no whole .keras file"),
        (["--model=zoo:resnet8_cifar10"], "did you mean 'resnet8_cifar10_45k'?"),
        (
            ["--model={saved}", "--macs=1e6", SHIPPED],
            "must show the model's 4 classes, got 10 in 'shipped' (airplane, auto",
        ),
        (["--model={saved}", "--outputs=logit"], "got 'logit' (did you mean 'logits'?)"),
        (["--model={saved}", "--output=folder"], "got the folder 'folder'"),
        (
            ["--model={saved}", "--quantize=int8", "--calibration=none.npz"],
            "got 'none.npz', which does not exist; give a folder",
        ),
        (
            ["--model={saved}", "--quantize=int8", "--calibration=cut.npz"],
            "Expected cut.npz to be an .npy or .npz file of plain arrays, got one that cannot be read (",
        ),
        (["--model={saved}", "--quantize=int8", "--calibration=names.npz"], "must hold images x"),
        (["--model={saved}", "--quantize=int8", SHIPPED], "calibration images must have shape [n, 16, 16, 3]"),
        (
            ["--model={saved}", "--thresholds=input", SHIPPED],
            "needs a decider that compares confidences, got PerUnitGates",
        ),
        ([ZOO, "--calibration=unlabelled.npy"], "a cascade's thresholds need labels"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, bad_files, saved, tmp_path, arguments, words):
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--output=out.tflite", *(argument.format(saved=saved) for argument in arguments)]
    done = run(SCRIPT, *arguments, KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("export_model: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
