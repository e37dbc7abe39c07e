"""The three measures of certainty against NumPy."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import CONFIDENCES, confidence, entropy_confidence, margin, max_probability

LOGITS = np.random.default_rng(0).normal(0, 3, (50, 7)).astype(np.float32)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True).astype(np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_max_probability():
    found = keras.ops.convert_to_numpy(max_probability(LOGITS))
    np.testing.assert_allclose(found, softmax(LOGITS).max(axis=-1), rtol=1e-5)


def test_entropy():
    p = softmax(LOGITS)
    found = keras.ops.convert_to_numpy(entropy_confidence(LOGITS))
    np.testing.assert_allclose(found, 1 + (p * np.log(p)).sum(axis=-1) / np.log(7), atol=1e-6)


def test_margin():
    ordered = np.sort(LOGITS, axis=-1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(margin(LOGITS)), ordered[:, -1] - ordered[:, -2], rtol=1e-5)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([2.0, 2.0, 1.0], 0.0),
        ([5.0, 5.0, 5.0], 0.0),
        ([-1.0, -4.0, -2.0], 1.0),
        ([1.0, 3.0], 2.0),
        ([-7.0, -7.0], 0.0),
        ([0.0, -1.0, -1.0], 1.0),
    ],
)
def test_margin_of_ties_and_of_two_classes(logits, expected):
    assert keras.ops.convert_to_numpy(margin(np.array([logits], np.float32))).tolist() == [expected]


@pytest.mark.parametrize("measure", sorted(CONFIDENCES))
def test_all_rise_with_certainty(measure):
    direction = np.array([3.0, 1.0, -2.0, 0.5], np.float32)
    found = confidence(np.outer([0.0, 0.5, 1.0, 2.0, 4.0], direction).astype(np.float32), measure)
    assert (np.diff(keras.ops.convert_to_numpy(found)) > 0).all()


def test_ends_of_the_scales():
    certain, unsure = np.array([[200.0, 0.0, 0.0]], np.float32), np.zeros((1, 3), np.float32)
    assert float(max_probability(certain)[0]) == pytest.approx(1.0)
    assert float(max_probability(unsure)[0]) == pytest.approx(1 / 3)
    assert float(entropy_confidence(certain)[0]) == pytest.approx(1.0)
    assert float(entropy_confidence(unsure)[0]) == pytest.approx(0.0, abs=1e-6)


def test_margin_needs_no_top_k():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("looks into a TensorFlow graph")
    graph = tf.function(margin).get_concrete_function(tf.TensorSpec((1, 10))).graph
    assert not [operation.type for operation in graph.get_operations() if "TopK" in operation.type]


def test_an_unknown_measure_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"a registered function or one of .*'margn' \(did you mean 'margin'\?\)"):
        confidence(LOGITS, "margn")
