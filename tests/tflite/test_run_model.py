"""tflite/run_model.py, run as a user runs it."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd

SCRIPT = "run_model.py"
COUNT = 6


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """exported(outputs) -> path of the model's .tflite."""
    folder = tmp_path_factory.mktemp("exported")

    def make(*outputs):
        path = folder / f"{'_'.join(outputs)}.tflite"
        if not path.exists():
            path.write_bytes(kd.lite.export(model, outputs=outputs))
        return path

    return make


@pytest.fixture
def pictures(images, tmp_path):
    """Six images as PNG files."""
    names = [f"image{k}.png" for k in range(COUNT)]
    for name, image in zip(names, images, strict=False):
        Image.fromarray(image).save(tmp_path / name)
    return names


def expected(model, images, k):
    """Returns class, path and MACs of an image, from Keras."""
    outcome = model.outcome(images[k : k + 1].astype("float32"), training=False)
    decisions = {name: float(value[0]) for name, value in outcome.decisions.items()}
    on = [name for name, run in decisions.items() if run]
    off = [name for name, run in decisions.items() if not run]
    macs = int(kd.cost.given(model.cost_tree, {name: np.array([run]) for name, run in decisions.items()})[0])
    top = int(keras.ops.convert_to_numpy(outcome.logits).argmax())
    return top, f"  on: {', '.join(on) or 'none'}; off: {', '.join(off) or 'none'}", f"  {macs:,} MACs"


@pytest.mark.parametrize("outputs", [("logits", "decisions"), ("logits", "decisions", "macs")])
def test_says_class_path_and_macs_as_keras_has_them(run, exported, model, images, pictures, outputs):
    done = run(SCRIPT, f"--model={exported(*outputs)}", *pictures)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 3 * COUNT
    for k, name in enumerate(pictures):
        top, path, macs = expected(model, images, k)
        assert lines[3 * k].startswith(f"{name}: class {top}, ")
        assert lines[3 * k + 1 : 3 * k + 3] == [path, macs]
    assert len(set(lines[1::3])) > 1, "all images took one path, which proves little"


def test_what_lies_inside_a_skipped_network_goes_without_saying(run, model, images, pictures, tmp_path):
    keras.utils.set_random_seed(2)  # the threshold is an image's own confidence: no rounding may cross it
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(4)]
    small = keras.Sequential([keras.Input(images.shape[1:]), *layers], name="small")
    cascade = kd.models.cascade([small, model])
    cascade.fit_thresholds(images[:COUNT].astype("float32"), quantiles=[0.5])
    (tmp_path / "cascade.tflite").write_bytes(kd.lite.export(cascade, outputs=("logits", "decisions")))
    done = run(SCRIPT, "--model=cascade.tflite", *pictures)
    assert (done.returncode, done.stderr) == (0, "")
    paths = done.stdout.splitlines()[1::3]
    skipped = [path for path in paths if path == f"  on: none; off: {model.name}"]
    ran = [path for path in paths if path.startswith(f"  on: {model.name}") and f"{model.name}/unit2" in path]
    assert len(skipped) == len(ran) == COUNT // 2


def test_a_budget_chooses_the_thresholds(run, stopping, images, pictures, tmp_path):
    content = kd.lite.export(stopping, None, images, ("logits", "decisions", "macs"), thresholds="input")
    (tmp_path / "exits.tflite").write_bytes(content)
    (tmp_path / "baked.tflite").write_bytes(kd.lite.export(stopping))
    table = kd.lite.read_metadata(content)["budgets"]
    least, most = table[0]["macs"], table[-1]["macs"]
    for budget, macs in ((least, {least}), (most, {most}), (None, {least, most})):
        flags = [] if budget is None else [f"--macs={budget}"]
        done = run(SCRIPT, "--model=exits.tflite", *flags, *pictures)
        assert (done.returncode, done.stderr) == (0, "")
        assert {int(line.split()[0].replace(",", "")) for line in done.stdout.splitlines()[2::3]} == macs
    for model, budget, words in (("exits", 1, "must be at least"), ("baked", most, "no table of thresholds")):
        done = run(SCRIPT, f"--model={model}.tflite", f"--macs={budget}", pictures[0])
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert words in done.stderr


def test_no_image_exceeds_a_budget(run, stopping, pictures, tmp_path):
    model = kd.layers.DynamicModel(stopping.chain, kd.deciders.Confidence())  # no image is certain
    model.build(stopping.image_shape)
    outputs = ("logits", "decisions", "macs")
    content = kd.lite.export(model, outputs=outputs, budget="input")
    (tmp_path / "exits.tflite").write_bytes(content)
    (tmp_path / "without.tflite").write_bytes(kd.lite.export(model, outputs=outputs))
    least, most = (kd.lite.count_macs(content, {"early": going}) for going in (False, True))
    for budget, macs in ((0, least), (least, least), (most - 1, least), (most, most)):
        done = run(SCRIPT, "--model=exits.tflite", f"--budget={budget}", *pictures)
        assert (done.returncode, done.stderr) == (0, "")
        assert {int(line.split()[0].replace(",", "")) for line in done.stdout.splitlines()[2::3]} == {macs}
    done = run(SCRIPT, "--model=without.tflite", "--budget=1e9", pictures[0])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "takes no budget as an input; export it with --budget=input" in done.stderr


@pytest.mark.parametrize("normalization", [None, (127.5, 127.5)])
def test_bytes_go_into_a_file_that_takes_them(run, model, images, pictures, tmp_path, normalization):
    """As pixels of a model that normalises them or as those of one that does not: the classes are Keras'."""
    if normalization is None:
        made, calibration = model, images
    else:
        keras.utils.set_random_seed(1)
        stem = [keras.layers.Conv2D(8, 3, padding="same", activation="relu")]
        unit = kd.layers.Residual([keras.layers.Conv2D(8, 3, padding="same")], name="unit")
        head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
        made = kd.layers.DynamicModel(kd.layers.Chain(stem, [unit], head))
        made.build(model.image_shape)
        calibration = (images - np.float32(127.5)) / 127.5
    content = kd.lite.export(made, "int8", calibration, input_type="uint8", normalization=normalization)
    (tmp_path / "bytes.tflite").write_bytes(content)
    done = run(SCRIPT, "--model=bytes.tflite", *pictures)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("image")]
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(made.outcome(np.float32(calibration[:COUNT])).logits))
    interpreter = kd.lite.Interpreter(content)
    for line, name, image, chance in zip(lines, pictures, images, chances, strict=False):
        logits = interpreter.run(image)["logits"][0].astype(np.float64)
        likely = np.exp(logits) / np.exp(logits).sum()
        assert line == f"{name}: class {likely.argmax()}, {likely.max():.1%}"
        np.testing.assert_allclose(likely, chance, atol=0.03)


def test_without_decisions_it_says_so_and_names_come_from_a_file(run, exported, model, images, pictures, tmp_path):
    names = ["ant", "bee", "cow", "dog"]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    done = run(SCRIPT, f"--model={exported('logits')}", "--labels=names.txt", pictures[0])
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"image0.png: {names[expected(model, images, 0)[0]]}, ")
    assert second == "  path not told: export the model with --outputs=logits,decisions"


def test_other_sizes_and_kinds_are_converted_and_a_resize_is_noted(run, exported, images, tmp_path):
    Image.fromarray(images[0]).resize((40, 20)).save(tmp_path / "wide.jpg")
    Image.fromarray(images[0]).convert("L").save(tmp_path / "grey.webp")
    done = run(SCRIPT, f"--model={exported('logits')}", "wide.jpg", "grey.webp")
    assert (done.returncode, done.stderr) == (0, "")
    assert "wide.jpg: class" in done.stdout
    assert "(resized from 40x20 to 16x16)" in done.stdout
    assert done.stdout.count("resized") == 1


def test_unreadable_images_are_named_and_the_others_classified(run, exported, pictures, tmp_path):
    (tmp_path / "cut.png").write_bytes((tmp_path / pictures[0]).read_bytes()[:300])
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(tmp_path / "deep.png")
    bad = ["cut.png", "none.png", "text.png", "deep.png"]
    done = run(SCRIPT, f"--model={exported('logits')}", pictures[0], *bad, pictures[1])
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[::2]] == pictures[:2]
    complaints = done.stderr.splitlines()
    assert len(complaints) == len(bad)
    for name, complaint in zip(bad, complaints, strict=True):
        assert complaint.startswith(f"run_model: cannot read image {name}, so it is left out: ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.tflite", "got 'none.tflite', which is no file"),
        ("text.tflite", "Expected a .tflite"),
        ("cut.tflite", "that are cut short, damaged or of a kind that is not known here"),
        ("foreign.tflite", "Expected a .tflite with 'keras_dynamic' metadata, got one without"),
    ],
)
def test_other_files_than_exported_models_are_refused(run, exported, pictures, tmp_path, name, words):
    content = exported("logits").read_bytes()
    (tmp_path / "text.tflite").write_text("this is no model")
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "foreign.tflite").write_bytes(without_metadata(content))
    done = run(SCRIPT, f"--model={name}", pictures[0])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("run_model: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def without_metadata(content: bytes) -> bytes:
    """Returns a .tflite as another exporter would have written it."""
    from keras_dynamic.lite import flatbuffer

    parsed = flatbuffer.load(content)
    parsed.metadata = []
    return flatbuffer.pack(parsed)


@pytest.mark.parametrize("names", ["--cifar10", "--labels=names.txt", "--labels=none.txt"])
def test_as_many_names_as_classes(run, exported, pictures, tmp_path, names):
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    done = run(SCRIPT, f"--model={exported('logits')}", names, pictures[0])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert names.removeprefix("--labels=") in done.stderr


@pytest.mark.parametrize(
    ("task", "answer"), [("labels", "cat 73.1%, dog 73.1%"), ("values", "1, 1"), (None, "cat, 50.0%")]
)
def test_answers_are_those_of_the_task(run, pictures, tmp_path, task, answer):
    units = [keras.layers.Conv2D(4, 3, name=f"conv{k}") for k in range(2)]
    last = keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer="ones")
    chain = kd.layers.Chain([keras.layers.Rescaling(1 / 255)], units, [keras.layers.GlobalAveragePooling2D(), last])
    model = kd.layers.DynamicModel(chain, task=task)
    model.build((None, 16, 16, 3))
    (tmp_path / "own.tflite").write_bytes(kd.lite.export(model, labels=["cat", "dog"]))
    done = run(SCRIPT, "--model=own.tflite", pictures[0])
    assert done.stdout.splitlines()[0] == f"{pictures[0]}: {answer}"
