"""Files of other tools with this package's names: all tools take them, and what they compute stays."""

import shutil

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import data, deciders, lite, models, zoo
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite import benchmark, flatbuffer
from tests.lite.c_source.compiled import Compiled
from tests.lite.foreign import converted


@pytest.fixture(scope="module")
def network():
    """An untrained Keras model of pixels 0 to 255 that ends in a softmax."""
    keras.utils.set_random_seed(6)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Reshape((-1, 8))(layers.MaxPooling2D(2)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


@pytest.fixture(scope="module")
def photos():
    """Shipped images, uint8."""
    return data.shipped().x_test[:200]


@pytest.mark.parametrize("kind", [None, "int8", "int8 with floats", "float16"])
def test_names_and_metadata(kind, network, photos):
    int8 = kind and kind.startswith("int8")
    content = converted(network, photos if int8 else None, kind == "float16", float_ends=kind != "int8")
    adopted = lite.adopt(content)
    runner, before = lite.Interpreter(adopted), lite.Interpreter(content)
    assert (list(runner.inputs), list(runner.outputs)) == (["image"], ["logits"])
    metadata, verified = lite.read_metadata(adopted), lite.verify(adopted)
    assert (metadata["quantize"], metadata["task"]) == ("int8" if int8 else kind, "classes")
    assert verified.macs_all_on == lite.count_macs(content, {}) == 16 * 16 * 8 * 27 + 512 * 10
    assert not verified.decisions
    for image in photos[:20].astype("float32"):
        logits, chances = runner.run(image)["logits"], next(iter(before.run(image).values()))
        np.testing.assert_allclose(keras.activations.softmax(logits), chances, atol=1e-2 if int8 else 1e-5)
    assert lite.adopt(adopted) == adopted


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_as_c(network, photos, tmp_path):
    adopted = lite.adopt(converted(network, photos, float_ends=False))
    own, reference = Compiled(adopted, tmp_path / "c"), lite.Interpreter(adopted, kernels="reference")
    for image in photos[:10].astype("float32"):
        np.testing.assert_array_equal(own.run(image)["logits"], reference.run(image, raw=True)["logits"])


def test_as_the_static_network_of_a_benchmark(network, photos):
    gates = deciders.PerUnitGates()
    model = DynamicModel(models.resnet_cifar(8, width=4).chain, gates)
    model.build((None, 32, 32, 3))
    static = lite.adopt(converted(network))
    y = network.predict(photos, verbose=0).argmax(-1)
    files = benchmark.Models(static, lite.export(model, outputs=("logits", "decisions")), benchmark.all_on_of(model))
    found = benchmark.benchmark(files, photos, y)
    assert found["accuracy_static"] == 1
    assert found["macs_share"] == pytest.approx(found["macs_mean"] / lite.count_macs(static, {}))


def test_an_autoencoder_answers_values():
    keras.utils.set_random_seed(7)
    rows = keras.Input((12,))
    content = converted(keras.Model(rows, layers.Dense(12)(layers.Dense(3, activation="relu")(rows))))
    assert lite.read_metadata(lite.adopt(content))["task"] == "values"


def test_a_sigmoid_at_the_end_of_an_autoencoder_is_a_part_of_it():
    keras.utils.set_random_seed(7)
    rows = keras.Input((12,))
    network = keras.Model(rows, layers.Dense(12, activation="sigmoid")(layers.Dense(3)(rows)))
    content, x = lite.adopt(converted(network)), np.random.default_rng(0).random((1, 12), np.float32)
    np.testing.assert_allclose(lite.Interpreter(content).run(x)["logits"], network.predict(x, verbose=0), atol=1e-5)
    assert lite.read_metadata(content)["task"] == "values"


def test_several_labels():
    keras.utils.set_random_seed(8)
    rows = keras.Input((12,))
    content = lite.adopt(converted(keras.Model(rows, layers.Dense(3, activation="sigmoid")(rows))))
    assert lite.read_metadata(content)["task"] == "labels"
    assert "LOGISTIC" not in {each.name for each in lite.list_operators(content)}


def test_files_of_the_package_stay():
    content = lite.export(zoo.load("resnet8_cifar10_45k"))
    assert lite.adopt(content) is content


def test_what_is_refused(network):
    one, other = keras.Input((4,)), keras.Input((4,))
    several = converted(keras.Model([one, other], layers.Add()([one, other])))
    with pytest.raises(ValueError, match="of one input and one output, got 1 subgraphs, 2 inputs and 1 outputs"):
        lite.adopt(several)
    whole = keras.ops.cast(network.output, "int32")
    with pytest.raises(ValueError, match=r"numbers for each class as the output, got int32 \[1, 10\]; convert"):
        lite.adopt(converted(keras.Model(network.input, whole)))
    with pytest.raises(ValueError, match="identifier"):
        lite.adopt(b"none")
    several = keras.Input(batch_shape=(4, 8))
    with pytest.raises(ValueError, match=r"an input for a batch of one image, got \[4, 8\]; convert"):
        lite.adopt(converted(keras.Model(several, layers.Dense(3)(several))))

    def spoil(model):
        constants = [t for t in model.subgraphs[0].tensors if flatbuffer.is_constant(model, t) and len(t.shape) == 4]
        buffer = model.buffers[constants[0].buffer]
        buffer.data = np.frombuffer(np.full(len(buffer.data) // 4, np.nan, np.float32).tobytes(), np.uint8)

    with pytest.raises(ValueError, match="is a constant that holds NaN"):
        lite.adopt(flatbuffer.edited(converted(network), spoil))
