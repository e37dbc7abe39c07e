"""Files of other tools as Keras models: the numbers are LiteRT's, the costs the files', and they join cascades."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dynamic import cost, data, lite, models, zoo
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.to_keras import RULES
from tests.lite.foreign import converted


@pytest.fixture(scope="module")
def photos():
    """The shipped images, numbers 0 to 255."""
    return data.shipped()


def answered(content, x):
    """Returns what LiteRT gives for images."""
    runner = lite.Interpreter(content)
    return np.concatenate([next(iter(runner.run(image).values())) for image in x])


def same(model, content, x, atol=1e-4):
    """Holds a model's numbers and cost against those of the file that it was read from."""
    np.testing.assert_allclose(model.predict(x, verbose=0), answered(content, x), atol=atol)
    assert cost.tree(model).total_macs == lite.count_macs(content, {})


def every_operator(batch=None):
    """An untrained network of the operators that to_keras knows, with paddings, strides and dilations."""
    keras.utils.set_random_seed(3)
    image = keras.Input(batch_shape=(batch, 16, 20, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    a = layers.Conv2D(8, 3, padding="same", activation="relu6")(x)
    b = layers.Conv2D(8, 3, padding="same", dilation_rate=2 if batch else 1, use_bias=False)(x)
    x = layers.LeakyReLU(0.3)(layers.Subtract()([a, b]))
    a = layers.DepthwiseConv2D(3, 2, depth_multiplier=2, padding="same", activation="relu")(x)
    b = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.Concatenate()([a, b, layers.MaxPooling2D(2)(x)])
    x = layers.BatchNormalization(gamma_initializer="random_normal", beta_initializer="ones")(layers.ReLU(6.0)(x))
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(scale)
    x = layers.Multiply()([layers.Activation("hard_silu")(x), scale])
    x = layers.Conv2D(12, (3, 2), strides=(2, 1))(layers.ZeroPadding2D(((0, 1), (2, 0)))(x))
    x = layers.Add()([layers.Activation("tanh")(x), layers.ReLU()(x)])
    rows = ops.mean(ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2))), 2)
    x = layers.Flatten()(layers.Reshape((-1, 6))(x))
    x = layers.Concatenate()([layers.Dense(4)(x), layers.Flatten()(rows)])
    return keras.Model(image, layers.Softmax()(layers.Dense(7)(x)))


@pytest.mark.parametrize("batch", [None, 1])
def test_every_operator(photos, batch):
    """With a batch of one the converter leaves a dilated convolution in one piece."""
    content = converted(every_operator(batch))
    found = {each.name for each in lite.list_operators(content)}
    assert found >= RULES.keys() - {"DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "SQUEEZE"}
    x = np.concatenate([photos.x_test[:6, :16, :20], photos.x_test[:6, 16:, 12:]]).astype("float32")
    same(lite.to_keras(content), content, x)


def test_a_network_of_dense_layers(photos):
    keras.utils.set_random_seed(1)
    rows = keras.Input((96,))
    x = layers.BatchNormalization()(layers.Dense(40, activation="tanh")(rows))
    content = converted(keras.Model(rows, layers.Dense(5)(layers.Dense(24, activation="relu")(x))))
    same(lite.to_keras(content), content, photos.x_test[:20, 0].reshape(20, 96) / np.float32(255))


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["MobileNetV2", "MobileNetV3Small"])
def test_networks_of_keras(kind, photos):
    keras.utils.set_random_seed(2)
    how = {"input_shape": (64, 64, 3), "weights": None, "classes": 6}
    how |= {"alpha": 0.35} if kind == "MobileNetV2" else {"alpha": 0.75}
    content = converted(getattr(keras.applications, kind)(**how))
    x = photos.x_test[:8].repeat(2, 1).repeat(2, 2).astype("float32")
    same(lite.to_keras(content), content, x / 127.5 - 1 if kind == "MobileNetV2" else x)


@pytest.fixture(scope="module")
def resnet(photos):
    """The shipped ResNet-8 in float32 and int8."""
    network = zoo.load("resnet8_cifar10_45k")
    return lite.export(network), lite.export(network, "int8", photos.x_heldout)


def test_a_trained_network(resnet, photos):
    same(lite.to_keras(resnet[0]), resnet[0], photos.x_test[:100])


def test_an_int8_network_answers_alike(resnet, photos):
    x = photos.x_test[:200]
    model = lite.to_keras(resnet[1], name="small")
    answers, wanted = model.predict(x, verbose=0), answered(resnet[1], x)
    assert np.mean(answers.argmax(-1) == wanted.argmax(-1)) >= 0.97
    assert model.name == "small"
    assert cost.tree(model).total_macs == lite.count_macs(resnet[1], {})


def test_float16_weights(photos):
    keras.utils.set_random_seed(4)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 3, 2, activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    content = converted(model, float16=True)
    assert "DEQUANTIZE" in {each.name for each in lite.list_operators(content)}
    same(lite.to_keras(content), content, photos.x_test[:8].astype("float32"))


@pytest.fixture(scope="module")
def foreign(photos):
    """An int8 file of TensorFlow's converter that takes numbers from 0 to 1 and ends in a softmax, as Keras had it."""
    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(image)
    x = layers.Conv2D(16, 3, 2, activation="relu")(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(photos.x_gates[:2000] / np.float32(255), photos.y_gates[:2000], epochs=2, verbose=0)
    return converted(model, photos.x_heldout[:100] / 255, float_ends=False)


def test_what_an_int8_file_takes_is_its_own(foreign, photos):
    x = photos.x_test[:200] / np.float32(255)
    given = lite.Interpreter(foreign).inputs.popitem()[1]
    assert given.scale == pytest.approx(1 / 255, rel=0.02)
    answers = lite.to_keras(foreign).predict(x, verbose=0)
    assert np.mean(answers.argmax(-1) == answered(foreign, x).argmax(-1)) >= 0.97


def test_a_member_of_a_cascade(foreign, photos):
    """Fitted, counted and exported as networks of Keras are; the softmax is taken off as of them."""
    from_file = lite.to_keras(foreign, name="from_file")
    small = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), from_file], name="small")
    model = models.cascade([small, zoo.load("resnet8_cifar10_45k")])
    fitted = model.fit_thresholds(photos.x_heldout, photos.y_heldout, macs=9e6)
    first, second = lite.count_macs(foreign, {}), lite.read_metadata(lite.export(model.networks[1]))["cost"][0]["macs"]
    assert cost.tree(model).total_macs == first + second
    assert first < fitted.spent < first + second
    content = lite.export(model, outputs=("logits", "decisions", "macs"))
    assert lite.verify(content).macs_all_off == first
    runner, decided = lite.Interpreter(content), []
    wanted = model.outcome(photos.x_test[:50])
    for image, logits in zip(photos.x_test[:50], np.asarray(wanted.logits), strict=True):
        found = runner.run(image)
        np.testing.assert_allclose(found["logits"][0], logits, atol=1e-3)
        decided.append(found["decisions"].item())
    assert 0 < np.mean(decided) < 1


def test_it_is_trained_saved_and_loaded(foreign, photos, tmp_path):
    model = lite.to_keras(foreign)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    x = photos.x_gates[:256] / np.float32(255)
    losses = model.fit(x, photos.y_gates[:256], epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_relu_that_integers_imply(foreign, photos):
    """Some tools leave a ReLU out where no integer stands for a number under 0."""
    kinds = flatbuffer.schema().ActivationFunctionType

    def without(model):
        for operator in model.subgraphs[0].operators:
            if flatbuffer.op_name(model, operator) == "CONV_2D":
                assert operator.builtinOptions.fusedActivationFunction == kinds.RELU
                operator.builtinOptions.fusedActivationFunction = kinds.NONE

    x = photos.x_test[:20] / np.float32(255)
    edited = flatbuffer.edited(foreign, without)
    np.testing.assert_array_equal(answered(edited, x), answered(foreign, x))
    found, wanted = (lite.to_keras(each).predict(x, verbose=0) for each in (edited, foreign))
    np.testing.assert_array_equal(found, wanted)


def small(*after, rows=False):
    """Returns an untrained network's float32 file."""
    image = keras.Input(batch_shape=(None, 8, 6) if rows else (1, 8, 8, 3))
    x = image
    for layer in after:
        x = layer(x)
    return converted(keras.Model(image, x))


def edited(change):
    """Returns the file of one convolution after change(operator)."""

    def edit(model):
        change(model.subgraphs[0].operators[0])

    return flatbuffer.edited(small(layers.Conv2D(4, 3, activation="relu")), edit)


def activated(number):
    def change(operator):
        operator.builtinOptions.fusedActivationFunction = number

    return change


def test_what_is_refused():
    network = layers_of_two_inputs()
    cascade = models.cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet14_cifar10_45k")])
    cascade.decider.set_thresholds([0.5])
    deciding = lite.export(cascade)
    refused = [
        (b"no file", "identifier"),
        (deciding, "networks that run whole, of one input and one output, got"),
        (converted(network), "got 1 subgraphs, 2 inputs and 1 outputs"),
        (
            small(layers.UpSampling2D(interpolation="bilinear")),
            "operator RESIZE_BILINEAR, which makes .*operator0_resize_bilinear",
        ),
        (small(layers.Dense(5), rows=True), r"RESHAPE, .* gives \[8, 6\]; expected a batch of one image"),
        (edited(activated(5)), r"CONV_2D, .*: its activation is number 5 of the schema, none of \[1, 3, 4\]"),
    ]
    for content, words in refused:
        with pytest.raises(ValueError, match=words):
            lite.to_keras(content)


def layers_of_two_inputs():
    one, other = keras.Input((4,)), keras.Input((4,))
    return keras.Model([one, other], layers.Add()([one, other]))
