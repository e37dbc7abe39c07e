"""tflite/web_demo.py: what it refuses, what the site holds, and in headless Chromium the answers of LiteRT."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd
from tests.lite.foreign import converted
from tests.tflite.conftest import ROOT, plain_model

SCRIPT = "web_demo.py"
INSTALLED = (ROOT / "tflite/web/node_modules/@litertjs/core").is_dir()
needs_litert = pytest.mark.skipif(not INSTALLED, reason="LiteRT.js is not installed; make setup-web")
needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")


@pytest.fixture
def files(model, images, tmp_path):
    """dynamic.tflite and static.tflite of the small gated network, int8."""
    static = kd.layers.DynamicModel(model.chain, name="static")
    static.build((None, *images.shape[1:]))
    for name, each, outputs in (("dynamic", model, ("logits", "decisions", "macs")), ("static", static, "logits")):
        (tmp_path / f"{name}.tflite").write_bytes(kd.lite.export(each, "int8", images, outputs))


def test_without_litert(run, tmp_path):
    if INSTALLED:
        pytest.skip("LiteRT.js is installed")
    done = run(SCRIPT, "--output=site")
    assert done.returncode == 1
    assert "install it by `make setup-web`" in done.stderr
    assert list(tmp_path.iterdir()) == []


@needs_litert
def test_the_site_of_ones_own_files(run, files, images, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "photos" / "one.bmp")
    done = run(SCRIPT, "--model=dynamic.tflite", "--static=static.tflite", "--images=photos", "--output=site")
    assert (done.returncode, done.stderr) == (0, "")
    site = tmp_path / "site"
    assert {path.name for path in site.iterdir()} >= {"index.html", "page.js", "stages.js", "litert", "config.json"}
    config = json.loads((site / "config.json").read_text())
    assert config["size"] == [16, 16, 3]
    assert config["decisions"] == ["unit1", "unit2"]
    assert config["dynamic"] == {"inputs": ["image"], "outputs": ["logits", "decisions", "macs"]}
    assert config["static"]["macs"] == kd.lite.count_macs((tmp_path / "static.tflite").read_bytes(), {})
    assert (config["samples"], config["budgets"]) == (["0.png"], [])
    np.testing.assert_array_equal(np.asarray(Image.open(site / "samples/0.png")), images[0])
    for name in ("dynamic", "static"):
        content = (site / f"{name}.tflite").read_bytes()
        assert kd.lite.Interpreter(content).inputs["image"].dtype == np.float32
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 25e6


@pytest.mark.ci
@needs_litert
@pytest.mark.parametrize("static", ["plain.keras", "foreign.tflite"])
def test_static_networks_of_other_tools(run, static, model, tmp_path):
    network = plain_model(8)
    network.save(tmp_path / "plain.keras")
    (tmp_path / "foreign.tflite").write_bytes(converted(network))
    (tmp_path / "dynamic.tflite").write_bytes(kd.lite.export(model, outputs=("logits", "decisions", "macs")))
    done = run(SCRIPT, "--model=dynamic.tflite", f"--static={static}", "--output=site")
    assert (done.returncode, done.stderr) == (0, "")
    config = json.loads((tmp_path / "site/config.json").read_text())
    assert config["static"] == {"inputs": ["image"], "outputs": ["logits"], "macs": kd.cost.tree(network).total_macs}


@needs_litert
def test_a_keras_file_beside_an_int8_model(run, files, tmp_path):
    plain_model(8).save(tmp_path / "plain.keras")
    done = run(SCRIPT, "--model=dynamic.tflite", "--static=plain.keras", "--output=site")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--static must be a .tflite beside an int8 model, got 'plain.keras'" in done.stderr


@needs_litert
def test_what_is_refused(run, files, tmp_path):
    other = kd.lite.with_outputs((tmp_path / "dynamic.tflite").read_bytes(), ["decisions"])
    (tmp_path / "other.tflite").write_bytes(other)
    four = kd.layers.DynamicModel(
        kd.layers.Chain(keras.layers.Conv2D(4, 3), [], [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    )
    four.build((None, 16, 16, 4))
    (tmp_path / "four.tflite").write_bytes(kd.lite.export(four))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    both = ["--model=dynamic.tflite", "--static=static.tflite"]
    refused = {
        "--model needs --static": ["--model=dynamic.tflite", "--output=site"],
        "--output must be a new or empty folder": [*both, "--output=full"],
        "and give 'logits', got": ["--model=other.tflite", "--static=static.tflite", "--output=site"],
        "got --chromium='nothing', which is no program here": [
            "--output=site", "--measure=m.json", "--chromium=nothing"
        ],
        "--measure needs images; give --images": [*both, "--output=site", "--measure=m.json"],
        "--images is a folder of image files, of --model, got 'nowhere'": [*both, "--output=site", "--images=nowhere"],
        "are --model and --static swapped?": ["--model=static.tflite", "--static=dynamic.tflite", "--output=site"],
        "--quantize and --samples: only for the cascade": [*both, "--output=site", "--quantize=int8", "--samples=2"],
        "--record is of what --measure finds; give both": ["--output=site", "--record=web"],
        "--static is compared with --model, got none": ["--static=static.tflite", "--output=site"],
        "the page shows the class of images of 1 or 3 channels, got images [1, 16, 16, 4]": [
            "--model=four.tflite", "--static=four.tflite", "--output=site"
        ],
    }  # fmt: skip
    for message, flags in refused.items():
        done = run(SCRIPT, *flags)
        assert done.returncode == 1
        assert message in done.stderr
    assert not (tmp_path / "site").exists()


@needs_litert
def test_thresholds_without_a_table_are_the_files_own(run, files, images, tmp_path):
    """A network with gates and exits has no table of budgets."""
    network = kd.zoo.load("resnet8_cifar10_45k")
    gated = kd.layers.DynamicModel(network.chain, kd.deciders.PerUnitGates())
    gated.build((None, 32, 32, 3))
    exited = kd.transform.attach_exits(gated, ["stage1_unit1"])
    confident = kd.deciders.Confidence()
    model = kd.layers.DynamicModel(exited.chain, kd.deciders.CombinedDecider([exited.decider, confident]))
    model.build((None, 32, 32, 3))
    confident.set_thresholds([0.7])
    (tmp_path / "own.tflite").write_bytes(kd.lite.export(model, thresholds="input"))
    (tmp_path / "plain.tflite").write_bytes(kd.lite.export(network))
    done = run(SCRIPT, "--model=own.tflite", "--static=plain.tflite", "--output=site")
    assert (done.returncode, done.stderr) == (0, "")
    config = json.loads((tmp_path / "site/config.json").read_text())
    assert config["budgets"] == [{"macs": None, "thresholds": [pytest.approx(0.7)]}]


@pytest.mark.slow
@needs_litert
@needs_chromium
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_the_browser_decides_alike(run, quantize, tmp_path):
    flags = [f"--quantize={quantize}", "--samples=120"]
    done = run(SCRIPT, "--output=site", *flags, "--measure=found.json")
    assert done.returncode == 0, done.stderr
    assert "images 120" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found) == 120
    config = json.loads((tmp_path / "site/config.json").read_text())
    interpreter = kd.lite.Interpreter((tmp_path / "site/dynamic.tflite").read_bytes())
    thresholds = np.float32(config["budgets"][config["budget"]]["thresholds"])
    equal = []
    for number, own in enumerate(found):
        image = np.asarray(Image.open(tmp_path / f"site/samples/{number}.png"))
        wanted = interpreter.run(image, thresholds=thresholds)
        equal.append(own["decisions"] == wanted["decisions"].ravel().tolist())
        assert own["label"] == wanted["logits"].argmax()
        assert own["macs"] == wanted["macs"].item() * config["macs_unit"]
    assert all(equal)
    done = run(SCRIPT, "--output=staged", *flags, "--stages", "--measure=staged.json")
    assert done.returncode == 0, done.stderr
    for own, staged in zip(found, json.loads((tmp_path / "staged.json").read_text()), strict=True):
        assert {name: own[name] for name in ("label", "logits", "decisions", "macs")} == {
            name: staged[name] for name in ("label", "logits", "decisions", "macs")
        }
    assert 0 < np.mean([each["decisions"] for each in found]) < 1
