"""tflite/on_a_board.py: answers of the package's interpreter, refusals, and an old runtime beside LiteRT."""

import json
import subprocess

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd
from tests.tflite.conftest import ROOT

SCRIPT = "on_a_board.py"
OLD = ROOT / ".venv-edge/bin/python"
OUTPUTS = ("logits", "decisions")


def write(folder, images):
    names = [f"{k:03d}.png" for k in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return names


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_answers_are_the_interpreters(run, model, images, tmp_path, quantize):
    content = kd.lite.export(model, quantize, images, OUTPUTS)
    (tmp_path / "model.tflite").write_bytes(content)
    names, interpreter = write(tmp_path, images[:6]), kd.lite.Interpreter(content)
    done = run(SCRIPT, "model.tflite", *names, "--repeat=1")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    for line, name, image in zip(done.stdout.splitlines(), names, images, strict=False):
        found = interpreter.run(image)
        path = "".join(str(int(run)) for run in found["decisions"].ravel())
        assert line.startswith(f"{name}: class {found['logits'].argmax()}  path {path}  ")


def test_thresholds_and_other_sizes(run, tmp_path):
    shipped = kd.data.shipped()
    network = kd.zoo.load("resnet32_cifar10_exits")
    content = kd.lite.export(network, outputs=OUTPUTS, thresholds="input")
    (tmp_path / "model.tflite").write_bytes(content)
    Image.fromarray(shipped.x_test[0]).resize((80, 60)).save(tmp_path / "large.png")
    done = run(SCRIPT, "model.tflite", "large.png")
    assert done.returncode == 1
    assert "the model takes 3 thresholds as an input, got 0; give --thresholds" in done.stderr
    for threshold, path in ((0, "000"), (float("inf"), "111")):
        done = run(SCRIPT, "model.tflite", "large.png", "--thresholds", *[str(threshold)] * 3)
        assert f"  path {path}  " in done.stdout, done.stderr


def test_another_model(run, model, tmp_path):
    content = kd.lite.with_outputs(kd.lite.export(model, outputs=("logits", "decisions")), ["decisions"])
    (tmp_path / "model.tflite").write_bytes(content)
    done = run(SCRIPT, "model.tflite", "any.png")
    assert done.returncode == 1
    assert "expected a model with an input 'image', perhaps 'thresholds' and 'budget', and an output" in done.stderr


def one_logit(channels=3):
    keras.utils.set_random_seed(0)
    stem = [keras.layers.Rescaling(1 / 127.5, -1), keras.layers.Conv2D(4, 3)]
    model = kd.layers.DynamicModel(
        kd.layers.Chain(stem, [], [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])
    )
    model.build((None, 16, 16, channels))
    return model


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_one_logit(run, images, tmp_path, quantize):
    model = one_logit()
    model.chain.head.layers[-1].bias.assign(-np.median(model(images[:20]), axis=0))
    content = kd.lite.export(model, quantize, images)
    (tmp_path / "model.tflite").write_bytes(content)
    names, interpreter = write(tmp_path, images[:20]), kd.lite.Interpreter(content)
    said = run(SCRIPT, "model.tflite", *names, "--repeat=1").stdout.splitlines()
    wanted = [int(interpreter.run(image)["logits"].item() > 0) for image in images[:20]]
    assert [int(line.split("class ")[1].split()[0]) for line in said] == wanted
    assert 0 < np.mean(wanted) < 1


def test_a_turned_photograph_and_files_that_are_none(run, model, images, tmp_path):
    content = kd.lite.export(model, outputs=OUTPUTS)
    (tmp_path / "model.tflite").write_bytes(content)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    Image.fromarray(np.rot90(images[0])).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(images[0]).save(tmp_path / "plain.png")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("no image")
    lines = [
        json.loads(line)
        for line in run(SCRIPT, "model.tflite", "turned.png", "plain.png", "--json").stdout.splitlines()
    ]
    assert lines[0]["logits"] == lines[1]["logits"]
    done = run(SCRIPT, "model.tflite", "deep.png", "plain.png", "text.png", "none.png")
    assert done.returncode == 1
    assert done.stderr.count("so it is left out") == 3
    assert done.stdout.startswith("plain.png: class ")


def test_what_cannot_be(run, images, tmp_path):
    (tmp_path / "four.tflite").write_bytes(kd.lite.export(one_logit(4)))
    (tmp_path / "text.tflite").write_text("no model")
    bytes_in = kd.lite.export(one_logit(), "int8", images, input_type="uint8", normalization=(0, 1))
    (tmp_path / "bytes.tflite").write_bytes(bytes_in)
    refused = {
        "expected a classifier of images of 1 or 3 channels, got [1, 16, 16, 4]": ["four.tflite", "any.png"],
        "text.tflite is no .tflite that runs here": ["text.tflite", "any.png"],
        "none.tflite is no .tflite that runs here": ["none.tflite", "any.png"],
        "the model takes bytes and normalises them itself": ["bytes.tflite", "any.png", "--mean=127.5"],
        "the model takes 0 thresholds as an input, got 1": ["bytes.tflite", "any.png", "--thresholds", "0.5"],
    }
    for message, flags in refused.items():
        done = run(SCRIPT, *flags)
        assert done.returncode == 1
        assert message in done.stderr, done.stderr


FILES = {
    "cascade": ["resnet8_cifar10_45k", "resnet20_cifar10_45k"],
    "exits": ["resnet32_cifar10_exits"],
    "gated": ["resnet32_cifar10_gated"],
    "blockdrop": ["resnet32_cifar10_blockdrop"],
}


@pytest.mark.slow
@pytest.mark.skipif(not OLD.exists(), reason="tflite-runtime 2.14 is not installed; make setup-edge")
@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("names", FILES.values(), ids=FILES)
def test_an_old_runtime_decides_alike(names, quantize, tmp_path):
    """float32: every decision of 200 images; int8, whose kernels round otherwise: nine of ten images wholly."""
    shipped = kd.data.shipped()
    networks = [kd.zoo.load(name) for name in names]
    model = networks[0]
    if len(networks) > 1:
        model = kd.models.cascade(networks)
        model.fit_thresholds(shipped.x_heldout, shipped.y_heldout, macs=22e6)
    content = kd.lite.export(model, quantize, shipped.x_heldout, OUTPUTS)
    (tmp_path / "model.tflite").write_bytes(content)
    images = write(tmp_path, shipped.x_test[:200])
    command = [str(OLD), str(ROOT / "tflite" / SCRIPT), "model.tflite", *images, "--json", "--repeat=1"]
    command.append("--runtime=tflite_runtime")
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = np.array([json.loads(line)["decisions"] for line in said.splitlines()])
    interpreter = kd.lite.Interpreter(content)
    wanted = np.array([interpreter.run(image)["decisions"].ravel() for image in shipped.x_test[:200]])
    assert wanted.std() > 0
    assert np.mean(np.all(found == wanted, axis=1)) >= (0.9 if quantize else 1)
