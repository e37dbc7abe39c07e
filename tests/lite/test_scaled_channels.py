"""Channels of an image are scaled by a convolution in files: same numbers, no further MACs, and only where it pays."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dynamic import cost, layers, lite
from tests.lite.functions import Function

MEAN, DEVIATION = np.array([125.0, 120.0, 110.0], "float32"), np.array([63.0, 60.0, 70.0], "float32")


def images(count, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels)).astype(np.float32)


def network(*stem, channels=3, size=(8, 8)):
    keras.utils.set_random_seed(0)
    body = [keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    model = layers.DynamicModel(layers.Chain([*stem, *body], [], head))
    model.build((None, *size, channels))
    return model


def operators(content):
    return [row.name for row in lite.list_operators(content)]


def trained_normalization():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 8, 8, 3))
    for weight, values in zip(layer.weights, ([2, 1, 0.5], [0, 1, -1], MEAN, DEVIATION**2), strict=True):
        weight.assign(values)
    return layer


STEMS = {
    "a factor and an offset": lambda: [keras.layers.Rescaling(list(1 / DEVIATION), list(-MEAN / DEVIATION))],
    "mean and variance": lambda: [keras.layers.Normalization(mean=MEAN, variance=DEVIATION**2)],
    "batch normalisation": lambda: [trained_normalization()],
    "two after each other": lambda: [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.2, 0.3]),
    ],
    "subtracted and divided": lambda: [Function(lambda x: (MEAN - x) / DEVIATION - 1.0)],
}


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_the_same_numbers_by_a_convolution(stem):
    model, x = network(*stem()), images(20)
    wanted = keras.ops.convert_to_numpy(model(x))
    for quantize, off in ((None, 1e-5), ("int8", 0.03 * np.ptp(wanted))):
        content = lite.export(model, quantize, x, normalization=None if quantize is None else (0, 1))
        assert operators(content)[:2] == ["CONV_2D", "CONV_2D"]
        assert not {"ADD", "MUL", "SUB", "DIV"} & set(operators(content))
        runner = lite.Interpreter(content)
        found = np.concatenate([runner.run(image)["logits"] for image in x])
        np.testing.assert_allclose(found, wanted, atol=off)
        lite.verify(content)
        assert lite.count_macs(content, {}) == cost.tree(model).total_macs  # the convolution stands for no layer


OTHERS = {
    "one number for all": (lambda: [keras.layers.Rescaling(1 / 127.5, -1)], 3),
    "one channel": (lambda: [keras.layers.Rescaling([1 / 60], [-2])], 1),
    "many channels": (lambda: [keras.layers.Rescaling([0.01] * 5 + [0.02], -1)], 6),
    "after a layer": (
        lambda: [
            keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.Rescaling([0.01, 0.02, 0.03], -1),
        ],
        3,
    ),
    "a number for each row": (
        lambda: [Function(lambda x: x * (np.arange(8, dtype="float32")[:, None, None] / 900))],
        3,
    ),
}


@pytest.mark.parametrize(("stem", "channels"), OTHERS.values(), ids=OTHERS)
def test_what_stays(stem, channels):
    model, x = network(*stem(), channels=channels), images(4, channels)
    content = lite.export(model)
    assert operators(content).count("CONV_2D") == sum("conv" in layer.name for layer in model.chain.stem.layers)
    assert "MUL" in operators(content)
    runner = lite.Interpreter(content)
    found = np.concatenate([runner.run(image)["logits"] for image in x])
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-5)


def test_an_intermediate_result_that_others_read():
    def both(x):
        scaled = x * (1 / DEVIATION)
        return ops.concatenate([scaled, scaled - MEAN / DEVIATION], -1)

    model, x = network(Function(both)), images(4)
    runner = lite.Interpreter(lite.export(model))
    found = np.concatenate([runner.run(image)["logits"] for image in x])
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-5)


@pytest.mark.parametrize(("size", "shape"), [((3, 8), (3, 1, 1)), ((8, 3), (3, 1))])
def test_a_number_for_each_of_as_many_rows_as_channels(size, shape):
    factors = np.float32([0.001, 0.01, 0.1]).reshape(shape)
    model = network(Function(lambda x: x * factors), size=size)
    x = np.random.default_rng(0).integers(0, 256, (6, *size, 3)).astype(np.float32)
    runner = lite.Interpreter(lite.export(model))
    found = np.concatenate([runner.run(image)["logits"] for image in x])
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-5)


def test_a_channel_that_never_changes():
    """An opaque alpha has no deviation: 255 less its mean, over next to nothing, is 0; int8 has no such numbers."""
    x = np.concatenate([images(20), np.full((20, 8, 8, 1), 255, np.float32)], -1)
    normalization = keras.layers.Normalization(mean=[*MEAN, 255.0], variance=[*DEVIATION**2, 0.0])
    model = network(normalization, channels=4)
    runner = lite.Interpreter(lite.export(model))
    found = np.concatenate([runner.run(image)["logits"] for image in x])
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-4)
    with pytest.raises(ValueError, match=r"multiplies a channel of the image by 1e\+07, which int8 cannot hold"):
        lite.export(model, "int8", x)
