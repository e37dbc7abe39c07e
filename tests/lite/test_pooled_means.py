"""Means in two steps: the same to a step, of maps whose sizes divide, in branches too, and of nothing else."""

import keras
import numpy as np
import pytest

from keras_dynamic import data, layers, lite, zoo


def images(count, height=8, width=8):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def exported(height, width, pool=None, quantize="int8"):
    keras.utils.set_random_seed(0)
    stem = [keras.layers.Rescaling(1 / 127.5, -1), keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
    head = [pool or keras.layers.GlobalAveragePooling2D(), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = layers.DynamicModel(layers.Chain(stem, [], head))
    model.build((None, height, width, 3))
    return lite.export(model, quantize, images(40, height, width))


def means(content):
    return {row.subgraph: row for row in lite.list_operators(content) if row.name == "MEAN"}


def pools(content):
    return sum(row.name == "AVERAGE_POOL_2D" for row in lite.list_operators(content))


@pytest.mark.parametrize(("height", "width", "pooled"), [(8, 8, True), (9, 6, True), (2, 8, True), (7, 5, False)])
def test_answers_are_the_same_to_a_step(height, width, pooled):
    content = exported(height, width)
    made = lite.pool_means(content)
    assert pools(made) == pooled
    assert len(means(made)) == 1
    lite.verify(made)
    one, other = (lite.Interpreter(each, kernels="reference") for each in (content, made))
    off = [
        np.abs(one.run(x, raw=True)["logits"].astype(int) - other.run(x, raw=True)["logits"]).max()
        for x in images(30, height, width)
    ]
    assert max(off) <= (3 if pooled else 0)
    micro = lite.MicroInterpreter(made)
    assert np.abs(micro.run(images(1, height, width)[0])["logits"]).max() > 0


def test_what_stays():
    float32 = exported(8, 8, quantize=None)
    assert pools(lite.pool_means(float32)) == 0
    assert pools(lite.pool_means(exported(8, 8, keras.layers.AveragePooling2D(8)))) == 1  # its own
    with pytest.raises(ValueError, match="whole"):
        lite.pool_means(float32[:200])


@pytest.mark.ci
def test_the_gates_of_a_shipped_network():
    """Decisions of 200 images on LiteRT's reference kernels."""
    shipped = data.shipped()
    content = lite.export(zoo.load("resnet32_cifar10_gated"), "int8", shipped.x_heldout, ("logits", "decisions"))
    made = lite.pool_means(content)
    assert pools(made) >= 14
    runs = [lite.Interpreter(each, kernels="reference") for each in (content, made)]
    equal, right = [], np.zeros(2)
    for x, label in zip(shipped.x_test[:200], shipped.y_test[:200], strict=True):
        one, other = (each.run(x) for each in runs)
        equal.append(np.mean(one["decisions"] == other["decisions"]))
        right += [found["logits"].argmax() == label for found in (one, other)]
    assert np.mean(equal) > 0.98
    assert abs(right[0] - right[1]) <= 4
