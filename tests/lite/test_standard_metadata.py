"""The metadata of TensorFlow Lite's own standard, labels, bytes as input, and weights in float16 and int8."""

import io
import zipfile

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic import lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.convert import convert, trace
from keras_dynamic.lite.standard_metadata import check_labels

SIZE, CLASSES = 12, 3


def make_gated(width=8):
    """A gated network on images in [-1, 1], not trained."""
    keras.utils.set_random_seed(0)

    def conv(**options):
        return keras.layers.Conv2D(width, 3, padding="same", **options)

    def block():
        return [conv(activation="relu"), conv()]

    stem = [conv(strides=2)]
    units = [kd.layers.Residual(block(), name=name) for name in ("one", "two")]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    model = kd.methods.ActivationGating(kd.layers.Chain(stem, units, head), name="mine")
    model.build((None, SIZE, SIZE, 3))
    for variable in model.weights:
        if "gate" in variable.path and variable.path.endswith("kernel"):
            variable.assign(np.random.default_rng(1).normal(0, 3, variable.shape))
    model.decider.set_tau(0.6)
    return model


@pytest.fixture(scope="module")
def gated():
    return make_gated()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (60, SIZE, SIZE, 3)).astype("uint8")


@pytest.fixture(scope="module")
def pixels():
    """For networks of tests/lite/conftest.py: dark and bright images."""
    rng = np.random.default_rng(0)
    return (rng.uniform(0.3, 1, (40, 1, 1, 1)) * rng.integers(0, 256, (40, 8, 8, 3))).astype("uint8")


def scaled(pixels):
    return (pixels.astype("float32") - 127.5) / 127.5


def table(data, position):
    """Returns the offsets of a flatbuffer table's fields by number: what a reader of the format itself would see."""
    vtable = position - int(np.frombuffer(data, np.int32, 1, position)[0])
    size = int(np.frombuffer(data, np.uint16, 1, vtable)[0])
    offsets = np.frombuffer(data, np.uint16, size // 2 - 2, vtable + 4)
    return {slot: position + int(offset) for slot, offset in enumerate(offsets) if offset}


def follow(data, position):
    return position + int(np.frombuffer(data, np.uint32, 1, position)[0])


def text(data, position):
    start = follow(data, position)
    return data[start + 4 : start + 4 + int(np.frombuffer(data, np.uint32, 1, start)[0])].decode()


def numbers(data, position):
    start = follow(data, position)
    return np.frombuffer(data, np.float32, int(np.frombuffer(data, np.uint32, 1, start)[0]), start + 4).tolist()


def tables(data, position):
    start = follow(data, position)
    count = int(np.frombuffer(data, np.uint32, 1, start)[0])
    return [table(data, follow(data, start + 4 + 4 * k)) for k in range(count)]


def test_standard_metadata_of_an_image_classifier(gated):
    content = lite.export(
        gated, labels=["cat", "dog", "owl"], normalization=(127.5, 127.5), outputs=("logits", "decisions")
    )
    parsed = flatbuffer.load(content)
    (entry,) = [each for each in parsed.metadata if each.name == "TFLITE_METADATA"]
    data = bytes(parsed.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    model = table(data, follow(data, 0))
    assert text(data, model[0]) == "mine"
    (graph,) = tables(data, model[3])
    (image,), (logits, decisions) = tables(data, graph[2]), tables(data, graph[3])
    assert (text(data, image[0]), text(data, logits[0]), text(data, decisions[0])) == ("image", "logits", "decisions")
    content_table = table(data, follow(data, image[3]))
    assert data[content_table[0]] == 2  # an image
    assert data[table(data, follow(data, content_table[1]))[0]] == 1  # in RGB
    (unit,) = tables(data, image[4])
    options = table(data, follow(data, unit[1]))
    assert (data[unit[0]], numbers(data, options[0]), numbers(data, options[1])) == (1, [127.5], [127.5])
    (file,) = tables(data, logits[6])
    assert (text(data, file[0]), data[file[2]]) == ("labels.txt", 2)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\nowl\n"
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED
    assert lite.read_labels(content) == ["cat", "dog", "owl"]
    assert lite.read_normalization(content) == (127.5, 127.5)


def test_a_normalization_of_each_channel(gated):
    each = ([127.5, 120.0, 110.0], [64.0, 63.0, 62.0])
    assert lite.read_normalization(lite.export(gated, normalization=each)) == each


def test_what_is_not_known_is_not_written(gated):
    content = lite.export(gated)
    assert lite.read_labels(content) is None
    assert lite.read_normalization(content) is None


def test_a_model_that_normalises_takes_pixels():
    model = kd.layers.DynamicModel(kd.models.resnet_cifar(8, width=4).chain)
    model.build((None, 32, 32, 3))
    assert lite.read_normalization(lite.export(model)) == (0, 1)
    with pytest.raises(ValueError, match=r"normalises pixel values 0 to 255 itself, got normalization=\(0, 255\) too"):
        lite.export(model, normalization=(0, 255))


def test_labels_stay_when_a_file_is_changed(gated):
    content = lite.export(gated, labels=["cat", "dog", "owl"], outputs=("logits", "decisions"))
    fewer = lite.with_outputs(content, ["logits"])
    assert lite.read_labels(fewer) == lite.read_labels(lite.simplify(content)) == ["cat", "dog", "owl"]
    names = [entry.name for entry in flatbuffer.load(fewer).metadata]
    assert "TFLITE_METADATA" not in names  # it described two outputs
    assert "TFLITE_METADATA" in [entry.name for entry in flatbuffer.load(lite.simplify(content)).metadata]


def test_a_file_with_labels_runs_everywhere(gated, images):
    plain, named = lite.export(gated), lite.export(gated, labels=["cat", "dog", "owl"])
    x = scaled(images[0])
    expected = lite.Interpreter(plain).run(x)["logits"]
    np.testing.assert_array_equal(lite.Interpreter(named).run(x)["logits"], expected)
    pytest.importorskip("tflite_micro")
    np.testing.assert_allclose(lite.MicroInterpreter(named).run(x)["logits"], expected, atol=1e-4)


def test_two_labels_for_one_logit():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), *[keras.layers.Dense(3) for _ in range(3)], keras.layers.Dense(1)])
    assert lite.read_labels(lite.export(model, labels=("no", "yes"))) == ["no", "yes"]


def test_labels_are_lines():
    """As check_labels has it and Android's readers: what else Python takes for the end of a line is part of a name."""
    names = ["a", "b\x85x", "c\u2028d", "e\x0cf", " g "]
    assert check_labels(names, 5) == names
    written = "".join(f"{name}\n" for name in names)
    for text, expected in ((written, names), (written[:-1], names), ("a\r\nb\rc", ["a", "b", "c"]), ("", [])):
        assert lite.read_labels(bytes_with_labels(text)) == expected


def bytes_with_labels(text):
    """Returns a .tflite with nothing but labels.txt."""
    model = flatbuffer.schema().ModelT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes, model.metadata = 3, [], [], [], []
    model.files = {"labels.txt": text.encode()}
    return flatbuffer.pack(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["cat"]}, r"labels must be 3 names of classes, each a line of text, got \['cat'\]"),
        ({"labels": "cat"}, "labels must be 3 names"),
        ({"labels": ["cat", "dog", "a\nb"]}, "labels must be 3 names"),
        ({"labels": ["cat", "dog", "a\rb"]}, "labels must be 3 names"),
        ({"labels": [1, 2, 3]}, "labels must be 3 names"),
        ({"normalization": (0, 0)}, r"normalization must be \(mean, std\), numbers or 3 each, std positive, got"),
        ({"normalization": 127.5}, "normalization must be"),
        ({"normalization": ([1, 2], [1, 2])}, "normalization must be"),
        ({"normalization": (float("nan"), 1)}, "normalization must be"),
        ({"input_type": "uint8"}, "input_type='uint8' is for quantize='int8', got quantize=None"),
        ({"input_type": "int16"}, "input_type must be one of"),
        ({"input_type": "uint8", "quantize": "int8"}, "needs to know what pixel values mean to the model"),
        (
            {"input_type": "uint8", "quantize": "int8", "normalization": ([1, 2, 3], [1, 2, 3])},
            "rescales all channels alike",
        ),
        ({"quantize": "float8"}, r"quantize must be one of .*\(did you mean 'float16'\?\)"),
    ],
)
def test_what_cannot_be_is_refused(gated, arguments, message):
    with pytest.raises(ValueError, match=message):
        lite.export(gated, **arguments)


def answers(interpreter, inputs):
    found = [interpreter.run(x) for x in inputs]
    return np.concatenate([each["logits"] for each in found]), np.concatenate([each["decisions"] for each in found])


@pytest.mark.parametrize(("quantize", "share", "off"), [("float16", 0.6, 0.01), ("dynamic", 0.4, 0.1)])
def test_smaller_weights(quantize, share, off, images):
    """Weights of half or a quarter of the size, nearly the same decisions and the same MACs."""
    model, x = make_gated(width=48), scaled(images)
    plain = lite.export(model, outputs=("logits", "decisions"))
    small = lite.export(model, quantize, outputs=("logits", "decisions"))
    assert len(small) < share * len(plain)
    found, expected = lite.verify(small), lite.verify(plain)
    assert (found.macs_all_on, found.macs_all_off, found.conditionals) == (
        expected.macs_all_on,
        expected.macs_all_off,
        expected.conditionals,
    )
    assert (found.quantize, lite.read_metadata(small)["quantize"]) == (quantize, quantize)
    (logits, decisions), (wanted, decided) = (answers(lite.Interpreter(each), x) for each in (small, plain))
    alike = (decisions == decided).all(axis=1)
    assert alike.mean() > 0.8
    assert len({tuple(row) for row in decided.tolist()}) > 1
    np.testing.assert_allclose(logits[alike], wanted[alike], atol=off * np.ptp(wanted))


def test_bytes_as_input(gated, images):
    """The bytes of an image go in as they are, whatever the range of the calibration images."""
    arguments = {"calibration": scaled(images // 2), "outputs": ("logits", "decisions")}  # darker images
    content = lite.export(gated, "int8", input_type="uint8", normalization=(127.5, 127.5), **arguments)
    lite.verify(content)
    interpreter = lite.Interpreter(content)
    port = interpreter.inputs["image"]
    assert (port.dtype, port.shape) == (np.uint8, (1, SIZE, SIZE, 3))
    assert port.scale == pytest.approx(1 / 127.5, rel=1e-3)
    assert port.zero_point in (127, 128)
    raw = interpreter.run(images[0])["logits"]
    interpreter.feed({"image": images[:1]})
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.results()["logits"], raw)
    np.testing.assert_allclose(raw, interpreter.run(scaled(images[0]))["logits"], atol=0.02)
    float_logits, _ = answers(lite.Interpreter(lite.export(gated, outputs=arguments["outputs"])), scaled(images[:20]))
    byte_logits, _ = answers(interpreter, images[:20])
    assert np.corrcoef(float_logits.ravel(), byte_logits.ravel())[0, 1] > 0.99
    pytest.importorskip("tflite_micro")
    micro = lite.MicroInterpreter(content)
    for image in (images[0], scaled(images[0])):
        np.testing.assert_allclose(micro.run(image)["logits"], raw, atol=0.03)


@pytest.mark.parametrize(
    ("normalization", "calibration", "message"),
    [
        (
            (127.5, 127.5),
            lambda pixels: pixels,
            r"must lie in -1 to 1, which .* stand for, got 0 to 255; give images as",
        ),
        ((0, 255), lambda pixels: pixels / 85.0, "must lie in 0 to 1, which the bytes 0 to 255 stand for, got 0 to 3;"),
        ((0, 1), lambda pixels: pixels / 255.0, "must fill a tenth or more of 0 to 255, which .*, got 0 to 1; give"),
        (
            (-50, 100),
            lambda pixels: (pixels + 50.0) / 100,
            "needs a normalization under which 0 .*, got 0.5 to 3.05; put",
        ),
    ],
)
def test_calibration_that_is_not_of_bytes_is_refused(gated, images, normalization, calibration, message):
    with pytest.raises(ValueError, match=message):
        lite.export(gated, "int8", calibration(images), input_type="uint8", normalization=normalization)


def test_a_scale_that_is_not_of_bytes_is_refused():
    """Whatever made the quantiser choose it."""
    calibration = np.random.default_rng(0).uniform(0, 3, (8, SIZE, SIZE, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"bytes 0 to 255 of the input must stand for 0 to 1, got 0 to 2\.99.*; give"):
        convert(trace(lambda image: [image * 2.0], calibration[:1].shape), "int8", calibration, (0.0, 1.0))


@pytest.mark.parametrize("rescaling", [(1 / 255, 0.0), (1 / 127.5, -1.0), ([1 / 255] * 3, [0.0] * 3), (1.0, 0.0)])
def test_a_model_that_rescales_takes_pixels(rescaling):
    convolutions = [keras.layers.Conv2D(4, 3, activation="relu") for _ in range(3)]
    layers = [keras.layers.Rescaling(*rescaling), *convolutions, keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers])
    content = lite.export(model)
    assert lite.read_normalization(content) == (None if rescaling == (1.0, 0.0) else (0, 1))
    lite.Interpreter(content).run(np.full((SIZE, SIZE, 3), -7.0))  # perhaps a sensor's


def test_bytes_of_a_model_that_rescales(tiny, pixels):
    """Its input needs no normalisation to be told, and has a step of 1."""
    content = lite.export(tiny(), "int8", pixels, input_type="uint8")
    interpreter = lite.Interpreter(content)
    port = interpreter.inputs["image"]
    assert (port.dtype, port.scale, port.zero_point) == (np.uint8, pytest.approx(1), 0)
    for image in pixels[:5]:
        one, other = interpreter.run(image), interpreter.run(image.astype("float32"))
        np.testing.assert_array_equal(one["logits"], other["logits"])


def test_stages_take_bytes(stopping, pixels):
    content = lite.export(stopping(), "int8", pixels, ("logits", "decisions"), input_type="uint8")
    whole, staged = lite.Interpreter(content), lite.Stages(lite.stages(content))
    for image in pixels[:8]:
        np.testing.assert_allclose(staged.run(image).logits, whole.run(image)["logits"], atol=1e-6)


@pytest.mark.filterwarnings("ignore:images range from 0 to 1")  # as this file has it, the network rescales them again
def test_calibration_images_are_numbers_even_of_type_uint8(stopping):
    """Thresholds are fitted on the images that scales are fitted on."""
    black_and_white = np.random.default_rng(0).integers(0, 2, (30, 8, 8, 3)).astype("uint8")
    model, given = stopping(), {"input_type": "uint8", "normalization": (0, 255)}
    one, other = (lite.export(model, "int8", black_and_white.astype(kind), **given) for kind in ("uint8", "float32"))
    assert one == other
