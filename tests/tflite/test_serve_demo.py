"""tflite/serve_demo.py, run as a user runs it."""

import csv
import os

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd

SCRIPT = "serve_demo.py"
COUNT = 12
HELD_OUT = "--calibration=held_out.npz"


@pytest.fixture(scope="session")
def with_exits(tmp_path_factory):
    """A network with two exits, not trained, as a .keras file; its decider decides nothing yet."""
    keras.utils.set_random_seed(0)
    layers = keras.layers

    def head():
        return [layers.GlobalAveragePooling2D(), layers.Dense(4, kernel_initializer="normal")]

    stem = [layers.Rescaling(1 / 255), layers.Conv2D(8, 3, padding="same", activation="relu")]
    units = [
        kd.layers.Residual([layers.Conv2D(8, 3, padding="same")], None, "relu", name=f"unit{k}") for k in (1, 2, 3)
    ]
    exits = [kd.layers.Exit(head(), after=f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = kd.layers.DynamicModel(kd.layers.Chain(stem, units, head(), exits), name="exits")
    model.build((None, 16, 16, 3))
    path = tmp_path_factory.mktemp("saved") / "exits.keras"
    model.save(path)
    return path


@pytest.fixture
def held_out(images, tmp_path):
    np.savez(tmp_path / "held_out.npz", x=images[COUNT:])
    return HELD_OUT


@pytest.fixture
def photos(images, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images[:COUNT]):
        Image.fromarray(image).save(tmp_path / "photos" / f"image{number:02d}.png")
    return tmp_path / "photos"


def served_alone(path, images, budget):
    """Returns what Keras has for the images under the budget."""
    loaded = keras.models.load_model(path, compile=False)
    model = kd.layers.DynamicModel(loaded.chain, kd.deciders.Confidence())
    model.build((None, 16, 16, 3))
    kd.evaluation.fit_budget(model, images[COUNT:], macs=budget)
    return kd.evaluation.evaluate(model, images[:COUNT], np.zeros(COUNT))


def test_a_network_with_exits_under_a_budget(run, with_exits, held_out, photos, images, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncow\ndog\n")
    (photos / "text.png").write_text("no image")
    Image.fromarray(images[20]).resize((20, 10)).save(photos / "wide.png")
    budget = 350_000
    flags = ["--images=photos", f"--macs={budget}", "--labels=names.txt", "--output=out/rows.csv", "--batch_size=5"]
    done = run(SCRIPT, f"--model={with_exits}", held_out, *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("serve_demo: cannot read image photos/text.png, so it is left out: ")
    assert done.stderr.count("\n") == 1
    said = done.stdout
    assert f"{COUNT + 1} images in batches of 5, 1 of them resized" in said
    assert "budget 350,000" in said
    assert "times exits's with everything on" in said

    rows = list(csv.DictReader((tmp_path / "out" / "rows.csv").open()))
    assert [row["file"] for row in rows] == [f"photos/image{k:02d}.png" for k in range(COUNT)] + ["photos/wide.png"]
    found = served_alone(with_exits, images, budget)
    names = ["ant", "bee", "cow", "dog"]
    assert [row["class"] for row in rows[:COUNT]] == [names[top] for top in found.predictions]
    assert [int(row["macs"]) for row in rows[:COUNT]] == found.macs.tolist()
    places = np.sum(list(found.decisions.values()), axis=0).astype(int)
    assert [row["stopped"] for row in rows[:COUNT]] == [["exit1", "exit2", "head"][place] for place in places]
    assert len(set(places)) > 1, "all images stop at one place, which proves little"
    stops = [sum(row["stopped"] == place for row in rows) for place in ("exit1", "exit2", "head")]
    assert f"stopped     exit1 {stops[0]}, exit2 {stops[1]}, head {stops[2]}" in said


def test_a_name_that_is_no_utf8_and_a_pipe_cost_no_answers(run, with_exits, held_out, photos, images, tmp_path):
    Image.fromarray(images[0]).save(os.fsencode(photos) + b"/caf\xe9.png", "PNG")
    os.mkfifo(photos / "pipe.png")
    done = run(SCRIPT, f"--model={with_exits}", held_out, "--images=photos", "--macs=350000", "--output=rows.csv")
    assert done.stderr == (
        "serve_demo: cannot read image photos/pipe.png, so it is left out: it is a pipe, a socket or a device.\n"
    )
    assert f"{COUNT + 1} images in batches" in done.stdout
    rows = list(csv.DictReader((tmp_path / "rows.csv").open(encoding="utf-8")))
    assert [row["file"] for row in rows] == [
        "photos/caf\\udce9.png",
        *(f"photos/image{k:02d}.png" for k in range(COUNT)),
    ]


@pytest.mark.ci
def test_a_cascade_from_the_zoo_on_a_small_folder(run, photos):
    done = run(SCRIPT, "--model=zoo:resnet8_cifar10_45k,zoo:resnet20_cifar10_45k", "--images=photos", "--cifar10")
    assert (done.returncode, done.stderr) == (0, "")
    macs = kd.zoo.describe("resnet20_cifar10_45k")["macs"]
    assert f"budget {macs / 2:,.0f}" in done.stdout  # half of the network's alone
    assert f"{COUNT} images in batches of 256, {COUNT} of them resized" in done.stdout
    assert "resnet20_cifar10_45k's with everything on: " in done.stdout
    assert f" images/s, {macs:,} MACs" in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--images=nowhere", HELD_OUT],
            "--images must name images, got 'nowhere', which does not exist; give a folder",
        ),
        (["--images=empty", HELD_OUT], "got 'empty', which holds none"),
        (
            ["--images=held_out.npz", HELD_OUT],
            "expected a folder of image files, got 'held_out.npz', which is no folder",
        ),
        (["--images=texts", HELD_OUT], "none of the 2 files in texts is an image"),
        (["--calibration=none.npz"], "--calibration must name images, got 'none.npz', which does not exist"),
        (["--calibration=empty.npz"], "calibration images must have shape [n, 16, 16, 3], got [0, 16, 16, 3]"),
        ([], "a budget needs images like those that "),
        (["--calibration=shipped"], "--calibration must show the model's 4 classes, got 10 in 'shipped' (airplane, "),
        ([HELD_OUT, "--macs=1000"], "MACs per image, the least that this network can do with"),
        ([HELD_OUT, "--output=empty"], "--output must name a CSV to write, got the folder 'empty'"),
        (["--model=none.keras"], "got 'none.keras', which is no file"),
        (["--model=zoo:resnet8_cifar10_45k"], "got 'resnet8_cifar10_45k', which runs everything"),
        (["--cifar10", HELD_OUT], "the model has 4 classes, but --cifar10 names 10"),
    ],
)
def test_bad_input_is_one_sentence(run, with_exits, held_out, photos, tmp_path, flags, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_text("no image")
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 16, 16, 3), np.uint8))
    done = run(SCRIPT, f"--model={with_exits}", "--images=photos", *flags)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("serve_demo: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
