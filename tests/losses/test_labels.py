"""Labels in every shape, and the cross entropy with them, against NumPy."""

import keras
import numpy as np
import pytest

from keras_dynamic.losses import class_indices, cross_entropy

LOGITS = np.random.default_rng(0).normal(0, 2, (4, 3)).astype(np.float32)
CLASSES = np.array([2, 0, 1, 1])
SOFT = np.random.default_rng(1).dirichlet(np.ones(3), 4)
LOG_SOFTMAX = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("y", [CLASSES, CLASSES[:, None], np.eye(3)[CLASSES], 0.1 + 0.7 * np.eye(3)[CLASSES]])
def test_class_numbers(y):
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(class_indices(y, 3)), CLASSES)


@pytest.mark.parametrize("weights", [None, np.array([0.0, 1.0, 2.0, 0.5])])
@pytest.mark.parametrize("y", [CLASSES, CLASSES[:, None], SOFT])
def test_cross_entropy(y, weights):
    shares = SOFT if y is SOFT else np.eye(3)[CLASSES]
    each = -(shares * LOG_SOFTMAX).sum(axis=1) * (1 if weights is None else weights)
    assert float(cross_entropy(y, LOGITS, weights)) == pytest.approx(each.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (np.zeros((4, 1)), 1, "need two logits or more, got one"),
        (np.zeros(4), 1, "need two logits or more, got one"),
        (np.zeros((4, 2)), 3, r"labels must be class numbers .* got shape \(4, 2\)"),
        (np.zeros((4, 3, 3)), 3, r"labels must be class numbers .* got shape \(4, 3, 3\)"),
    ],
)
def test_other_labels_are_an_error(y, classes, message):
    with pytest.raises(ValueError, match=message):
        class_indices(y, classes)
