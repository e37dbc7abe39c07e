"""Confidences and thresholds found in a select model, with NumPy's own confidences beside them."""

import copy

import numpy as np
import pytest

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import decision_scope
from keras_dynamic.lite.comparisons import comparisons_of, confidences, set_threshold

NAMES = ("first", "second")


def forward(image):
    """Two answers, the second only for images of which the first is not sure, both under a threshold of 0.6."""
    import tensorflow as tf

    logits, later = tf.reduce_mean(image, (1, 2)) / 32.0, tf.reduce_max(image, (1, 2)) / 32.0
    with tf.name_scope(decision_scope(0)):
        first = tf.reduce_max(tf.nn.softmax(logits), -1) < 0.6
    logits = tf.where(first[:, None], later, logits)
    with tf.name_scope(decision_scope(1)):
        second = tf.reduce_max(tf.nn.softmax(logits), -1) < 0.6
    return {"logits": tf.where(second[:, None], -logits, logits)}


def largest_probability(logits):
    powers = np.exp(logits)
    return powers.max(axis=1) / powers.sum(axis=1)


@pytest.fixture(scope="module")
def converted(to_tflite, images):
    """converted(int8) -> parsed model."""
    made = {int8: flatbuffer.load(to_tflite(forward, images, int8)) for int8 in (False, True)}
    return made.__getitem__


def test_float32_confidences_are_those_if_all_go_on(converted, images):
    found = confidences(converted(False), NAMES, NAMES, images)
    wanted = [largest_probability(logits / 32) for logits in (images.mean(axis=(1, 2)), images.max(axis=(1, 2)))]
    np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=1e-5)
    assert (found[:, 0] >= 0.6).any()  # who would stop is asked on


def test_int8_confidences_are_integers(converted, images):
    found = confidences(converted(True), NAMES, NAMES, images)
    wanted = [largest_probability(logits / 32) for logits in (images.mean(axis=(1, 2)), images.max(axis=(1, 2)))]
    assert found.dtype == np.int8
    np.testing.assert_allclose((found.astype(float) + 128) / 256, np.stack(wanted, axis=1), atol=0.06)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_threshold_is_set_for_its_own_comparison_alone(int8, converted):
    model = copy.deepcopy(converted(int8))
    first, second = comparisons_of(model, NAMES, NAMES)
    assert first.threshold == second.threshold  # the converter makes one constant of equal ones
    set_threshold(model, first, np.int8(7) if int8 else np.float32(0.25), *((1 / 256, -128) if int8 else ()))
    first, second = comparisons_of(flatbuffer.load(flatbuffer.pack(model)), NAMES, NAMES)
    tensors = model.subgraphs[0].tensors
    assert flatbuffer.constant(model, tensors[first.threshold]) == (7 if int8 else np.float32(0.25))
    assert flatbuffer.constant(model, tensors[second.threshold]) == (127 if int8 else np.float32(0.6))
    if int8:
        assert flatbuffer.quantization(tensors[first.threshold]) == ((1 / 256,), (-128,))
        assert flatbuffer.quantization(tensors[second.threshold]) != ((1 / 256,), (-128,))


def test_a_comparison_that_is_not_there_is_an_error(converted):
    with pytest.raises(ValueError, match=r"does not compare a confidence with a threshold for decisions \['third'\]"):
        comparisons_of(converted(False), ["third"], NAMES)
