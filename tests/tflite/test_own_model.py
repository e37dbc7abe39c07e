"""The scripts on a user's own Keras models and folder of images."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd
from tests.lite.foreign import converted
from tests.tflite.conftest import NAMES, SIZE, plain_model


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Folder of own models: small and large, which take pixels, unit, which takes 0 to 1, and binary, of one output."""
    folder = tmp_path_factory.mktemp("own")
    plain_model(4).save(folder / "small.keras")
    plain_model(8).save(folder / "large.keras")
    plain_model(8, rescale=False).save(folder / "unit.keras")
    plain_model(4, classes=1).save(folder / "binary.keras")
    return folder


def succeed(done):
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_int8_from_a_folder_of_classes_takes_bytes_and_names_them(run, own, in_classes, images, tmp_path):
    files = [f"--model={own}/unit.keras", "--calibration=in_classes", "--output=unit.tflite"]
    succeed(run("export_model.py", *files, "--quantize=int8", "--input_type=uint8", "--input_std=255"))
    content = (tmp_path / "unit.tflite").read_bytes()
    assert kd.lite.read_labels(content) == list(NAMES)
    assert kd.lite.read_normalization(content) == (0, 255)
    assert kd.lite.Interpreter(content).inputs["image"].dtype == np.uint8

    said = succeed(run("run_model.py", "--model=unit.tflite", "in_classes/ant/00.png", "in_classes/bee/01.png"))
    expected = plain_model(8).predict(images[:2], verbose=0)  # the same weights, with normalisation inside
    for line, chances in zip(said.splitlines()[::3], expected, strict=True):
        name, chance = line.split(": ")[1].split(", ")
        assert name == NAMES[chances.argmax()]
        assert float(chance.rstrip("%")) == pytest.approx(100 * chances.max(), abs=3)


def test_what_no_flag_tells_is_left_open(run, own, in_classes, images, tmp_path):
    np.save(tmp_path / "arrays.npy", images / np.float32(255))
    files = [f"--model={own}/unit.keras", "--quantize=int8", "--output=unit.tflite"]
    succeed(run("export_model.py", *files, "--calibration=arrays.npy"))
    content = (tmp_path / "unit.tflite").read_bytes()
    assert (kd.lite.read_labels(content), kd.lite.read_normalization(content)) == (None, None)


@pytest.mark.ci
@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_smaller_weights_need_no_images(run, own, tmp_path, quantize):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    files = [f"--model={own}/large.keras", f"--quantize={quantize}", "--labels=names.txt", "--output=large.tflite"]
    said = succeed(run("export_model.py", *files))
    assert f"MB, {quantize}, " in said
    assert kd.lite.read_labels((tmp_path / "large.tflite").read_bytes()) == list(NAMES)


@pytest.mark.ci
def test_names_of_the_zoo_and_of_flags(run, own, in_classes, tmp_path):
    succeed(run("export_model.py", "--model=zoo:resnet8_cifar10_45k", "--output=zoo.tflite"))
    assert kd.lite.read_labels((tmp_path / "zoo.tflite").read_bytes()) == list(kd.data.shipped().class_names)
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\nfour\n")
    files = [f"--model={own}/small.keras", "--calibration=in_classes", "--output=small.tflite"]
    succeed(run("export_model.py", *files, "--labels=names.txt"))
    assert kd.lite.read_labels((tmp_path / "small.tflite").read_bytes()) == ["one", "two", "three", "four"]


@pytest.fixture
def cascade(own):
    return f"--model={own}/small.keras,{own}/large.keras"


def test_a_cascade_is_fitted_on_a_folder_of_classes(run, cascade, in_classes, tmp_path):
    files = ["--calibration=in_classes", "--outputs=logits,decisions", "--output=cascade.tflite"]
    assert "mean over the 40 images that they were fitted on" in succeed(run("export_model.py", cascade, *files))
    content = (tmp_path / "cascade.tflite").read_bytes()
    assert kd.lite.verify(content).decisions == ("plain8",)
    assert kd.lite.read_labels(content) == list(NAMES)


def test_a_cascade_serves_a_folder_of_classes(run, cascade, in_classes, tmp_path):
    flags = ["--images=in_classes", "--calibration=in_classes", "--output=rows.csv"]
    assert "40 images in batches of 256\n" in succeed(run("serve_demo.py", cascade, *flags))
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [row["file"] for row in rows][9:11] == ["in_classes/ant/36.png", "in_classes/bee/01.png"]
    assert {row["class"] for row in rows} <= set(NAMES)


@pytest.mark.ci
def test_served_images_are_normalised(run, tmp_path, in_classes, images):
    for width in (4, 8):
        plain_model(width, rescale=False).save(tmp_path / f"unit{width}.keras")
    flags = ["--images=in_classes", "--calibration=in_classes", "--input_std=255", "--macs=1e9", "--output=rows.csv"]
    succeed(run("serve_demo.py", "--model=unit4.keras,unit8.keras", *flags))
    model = kd.models.cascade([plain_model(4), plain_model(8)])  # the same weights, with normalisation inside
    x, y, _ = kd.data.read_folder(in_classes, (SIZE, SIZE, 3))
    model.fit_thresholds(x, y, macs=1e9)
    expected = [NAMES[top] for top in np.asarray(model.outcome(x).logits).argmax(-1)]
    assert [row["class"] for row in csv.DictReader((tmp_path / "rows.csv").open())] == expected


def test_a_measurement_on_a_folder_of_classes(run, own, in_classes, tmp_path):
    for number in range(160):  # a latency takes 200 images
        path = in_classes / NAMES[number % 4] / f"more{number}.png"
        Image.fromarray(np.full((SIZE, SIZE, 3), number, np.uint8)).save(path)
    files = [f"--model={own}/small.keras", f"--static={own}/large.keras", "--images=in_classes", "--json=bench.json"]
    succeed(run("benchmark.py", *files, "--precisions=float32"))
    x, y, _ = kd.data.read_folder(in_classes, (SIZE, SIZE, 3))
    found = json.loads((tmp_path / "bench.json").read_text())["float32"]
    for key, width in (("accuracy", 4), ("accuracy_static", 8)):
        assert found[key] == pytest.approx((plain_model(width).predict(x, verbose=0).argmax(-1) == y).mean(), abs=0.01)


@pytest.mark.ci
def test_a_measurement_against_a_file_of_another_tool(run, own, in_classes, tmp_path):
    for number in range(160):
        path = in_classes / NAMES[number % 4] / f"more{number}.png"
        Image.fromarray(np.full((SIZE, SIZE, 3), number, np.uint8)).save(path)
    (tmp_path / "plain.tflite").write_bytes(converted(plain_model(8)))
    files = [f"--model={own}/small.keras", "--static=plain.tflite", "--images=in_classes", "--json=bench.json"]
    succeed(run("benchmark.py", *files, "--precisions=float32"))
    x, y, _ = kd.data.read_folder(in_classes, (SIZE, SIZE, 3))
    found = json.loads((tmp_path / "bench.json").read_text())["float32"]
    right = plain_model(8).predict(x, verbose=0).argmax(-1) == y
    assert found["accuracy_static"] == pytest.approx(right.mean(), abs=0.01)
    done = run("benchmark.py", *files, "--calibration=in_classes", "--precisions=int8")
    assert done.stderr == (
        "benchmark: --static=plain.tflite is float32, but is compared with int8; give --precisions=float32.\n"
    )


@pytest.mark.ci
def test_files_of_other_tools_become_a_cascade(run, in_classes, tmp_path):
    for width in (4, 8):
        (tmp_path / f"net-{width}.tflite").write_bytes(converted(plain_model(width)))
    files = ["--model=net-4.tflite,net-8.tflite", "--calibration=in_classes", "--outputs=logits,decisions"]
    succeed(run("export_model.py", *files, "--input_std=1", "--output=cascade.tflite"))
    assert kd.lite.verify((tmp_path / "cascade.tflite").read_bytes()).decisions == ("net_8",)


def test_one_logit_is_that_of_two_classes(run, own, in_classes, images, tmp_path):
    succeed(run("export_model.py", f"--model={own}/binary.keras", "--output=binary.tflite"))
    chance = plain_model(4, classes=1).predict(images[:1], verbose=0).item()
    (tmp_path / "names.txt").write_text("no\nyes\n")
    for flags, names in (([], ("class 0", "class 1")), (["--labels=names.txt"], ("no", "yes"))):
        said = succeed(run("run_model.py", "--model=binary.tflite", *flags, "in_classes/ant/00.png"))
        expected = f"{names[chance > 0.5]}, {max(chance, 1 - chance):.1%}"
        assert said.splitlines()[0] == f"in_classes/ant/00.png: {expected}"


@pytest.fixture
def bad_folders(in_classes, tmp_path):
    two = tmp_path / "two"
    for name in ("ant", "bee"):
        (two / name).mkdir(parents=True)
        (two / name / "0.png").write_bytes((in_classes / "ant" / "00.png").read_bytes())
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no image")


INT8, BENCH, FOLDER = "--quantize=int8", "benchmark.py", "--calibration=in_classes"


@pytest.mark.parametrize(
    ("script", "model", "flags", "words"),
    [
        ("export_model.py", "small", [INT8], "--quantize=int8 needs images like those that "),
        ("export_model.py", "small,large", [], "a cascade needs images like those that "),
        ("export_model.py", "small,large", ["--calibration=two"], "the model's 4 classes, got 2 in 'two' (ant, bee)"),
        (
            "export_model.py",
            "small,large",
            ["--calibration=in_classes/ant"],
            "a cascade's thresholds need labels; give",
        ),
        ("export_model.py", "small", [INT8, "--calibration=text"], "got 'text/a.txt', which cannot be read"),
        ("export_model.py", "small", [INT8, "--calibration=text/a.txt"], "which is no folder, .npy or .npz; give"),
        ("export_model.py", "small", [INT8, FOLDER, "--input_std=0"], "--input_std must be over 0, got 0"),
        ("export_model.py", "small", [FOLDER, "--cifar10"], "the model has 4 classes, but --cifar10 names 10"),
        (BENCH, "small", [], "a measurement needs images like those that "),
        (BENCH, "small", ["--images=in_classes"], "--precisions=int8 needs images like those that "),
        (BENCH, "small", ["--images=in_classes/ant", FOLDER], "got 'in_classes/ant' without labels"),
        (BENCH, "small", ["--images=shipped", FOLDER], "--images must show the model's 4 classes, got 10 in 'shipped'"),
        (BENCH, "none", [], "none.keras', which is no file"),
        ("serve_demo.py", "small,large", [FOLDER], "serving needs images like those that "),
    ],
)
def test_bad_input_is_one_sentence(run, own, bad_folders, tmp_path, script, model, flags, words):
    models = ",".join(f"{own}/{name}.keras" for name in model.split(","))
    output = ["--output=out.tflite"] if script == "export_model.py" else []
    done = run(script, f"--model={models}", *output, *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{script.removesuffix('.py')}: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.tflite").exists()


def test_several_answers_per_image_are_refused(run, in_classes, tmp_path):
    layers = [*(keras.layers.Conv2D(4, 1) for _ in range(3)), keras.layers.Softmax()]
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers]).save(tmp_path / "pixels.keras")
    succeed(run("export_model.py", "--model=pixels.keras", "--output=pixels.tflite"))
    done = run("run_model.py", "--model=pixels.tflite", "in_classes/ant/00.png")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "logits [1, classes], got [1, 16, 16, 3] and [1, 16, 16, 4]; run it with" in done.stderr
