import numpy as np
import pytest

from keras_dynamic.lite import Interpreter, flatbuffer, list_operators, verify
from keras_dynamic.lite.convert import simplify

KINDS = pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])


def names(model, subgraph=None):
    return [row.name for row in list_operators(model) if subgraph is None or row.subgraph == subgraph]


def largest_difference(one, other, images, **how):
    first, second = Interpreter(one, **how), Interpreter(other, **how)
    found = 0.0
    for image in images:
        before, after = first.run(image, raw=True), second.run(image, raw=True)
        found = max(found, *(np.abs(before[n].astype(float) - after[n].astype(float)).max() for n in before))
    return found


@KINDS
@pytest.mark.parametrize("name", ["units", "exits", "leaves", "locked"])
def test_values_stay(example, name, int8):
    made = example(name, int8)
    simple = simplify(made.outlined)
    assert largest_difference(made.outlined, simple, made.images, kernels="builtin") == 0
    # XNNPACK's QUANTIZE rounds on its own: one step in a unit, rarely more than one in the logits.
    assert largest_difference(made.outlined, simple, made.images, kernels="auto") <= (2 if int8 else 0)
    verify(simple)


def test_float_skips_hand_their_input_through(example):
    made = example("units", False)
    assert names(made.outlined, "decision_1_else") == ["RELU"]
    simple = simplify(made.outlined)
    for k in range(3):
        assert names(simple, f"decision_{k}_else") == []


def test_int8_skips_rescale_or_hand_through(example):
    made = example("units", True)
    assert {"RELU", "LEAKY_RELU"} <= set(names(made.outlined))
    simple = simplify(made.outlined)
    assert not {"RELU", "LEAKY_RELU"} & set(names(simple))
    model = flatbuffer.load(simple)
    for k in range(3):
        (branch,) = [g for g in model.subgraphs if g.name == f"decision_{k}_else"]
        source, result = branch.tensors[branch.inputs[-1]], branch.tensors[branch.outputs[-1]]
        rescales = flatbuffer.quantization(source) != flatbuffer.quantization(result)
        assert [flatbuffer.op_name(model, o) for o in branch.operators] == ["QUANTIZE"] * rescales


@KINDS
def test_relu_that_rectifies_stays_or_saturates(to_tflite, images, int8):
    """A RELU after a sum that can be negative, with a second reader so that the converter cannot fuse it."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D(4, 3)

    def forward(image):
        x = conv(image / 255.0 - 0.5)
        return {"y": tf.nn.relu(x), "x": x}

    model = to_tflite(forward, images, int8)
    assert "RELU" in names(model)
    simple = simplify(model)
    assert names(simple).count("RELU") == (0 if int8 else 1)
    assert names(simple).count("QUANTIZE") == names(model).count("QUANTIZE") + (1 if int8 else 0)
    assert largest_difference(model, simple, images, kernels="builtin") == 0
    assert largest_difference(model, simple, images, kernels="auto") <= int8
    assert Interpreter(model).run(images[0])["x"].min() < 0


def test_slopes_that_matter_stay(to_tflite, images):
    import tensorflow as tf

    model = to_tflite(lambda image: {"y": tf.nn.leaky_relu(image - 99.0, 0.9)}, images, False)
    assert "LEAKY_RELU" in names(simplify(model))
    model = to_tflite(lambda image: {"y": tf.nn.leaky_relu(image - 99.0, 0.9999) * 2.0}, images, False)
    assert "LEAKY_RELU" not in names(simplify(model))


def test_a_negative_operand_of_the_branch_keeps_its_relu(to_tflite, images):
    """What the otherwise-branch rectifies comes from outside and can be negative."""
    import tensorflow as tf

    from keras_dynamic.lite import outline

    def forward(image):
        x = image - 99.0
        with tf.name_scope("kd_decision_0"):
            d = tf.reshape(tf.reduce_mean(image) > 60.0, [1])
        return {"y": tf.where(d, tf.nn.relu(x) * 3.0, tf.nn.relu(-x)), "x": x * 2.0}

    model = outline(to_tflite(forward, images, False))
    simple = simplify(model)
    assert names(simple, "decision_0_else")[-1] == "RELU"
    assert largest_difference(model, simple, images) == 0
