"""What logits answer and what is right, in the five forms that labels have."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import (
    answers,
    batch_share_right,
    confidence,
    divergence,
    right_answers,
    share_right,
    task_of_loss,
)

CLASSES = np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 3.0]], np.float32)
BINARY = np.array([[1.5], [-0.5]], np.float32)
PIXELS = np.array([[[2.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 0.0]]], np.float32)  # [2 images, 2 pixels, 2 classes]

# (logits, task, labels, share of right answers)
CASES = [
    (CLASSES, "classes", [0, 1], [1, 0]),
    (CLASSES, "classes", [[0], [2]], [1, 1]),
    (CLASSES, "classes", [[1, 0, 0], [0, 0.9, 0.1]], [1, 0]),
    (BINARY, "classes", [1, 1], [1, 0]),
    (BINARY, "classes", [[0], [0]], [0, 1]),
    (CLASSES, "labels", [[1, 1, 0], [1, 1, 1]], [1, 2 / 3]),  # a logit of 0 answers no
    (PIXELS, "classes", [[0, 1], [1, 0]], [1, 0.5]),
    (PIXELS, "classes", [[[0], [0]], [[0], [0]]], [0.5, 1]),
    (PIXELS, "classes", [[[1, 0], [0, 1]], [[1, 0], [0, 1]]], [1, 0.5]),
]


@pytest.mark.parametrize(("logits", "task", "labels", "wanted"), CASES)
def test_the_share_of_right_answers(logits, task, labels, wanted):
    labels = np.array(labels)
    right = share_right(answers(logits, task), right_answers(labels, logits.shape, task))
    np.testing.assert_allclose(right, wanted)
    np.testing.assert_allclose(batch_share_right(labels, keras.ops.convert_to_tensor(logits), task), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("logits", "task", "labels", "message"),
    [
        (CLASSES, "classes", [0, 3], "class numbers from 0 to 2"),
        (BINARY, "classes", [0, 2], "labels of a binary classifier must be 0 or 1"),
        (BINARY, "classes", [0.5, 1.0], "labels of a binary classifier must be 0 or 1, got others, as of a regression"),
        (BINARY, "classes", [0, 1, 1], "y must be 2 labels, one per image, got 3"),
        (BINARY, "classes", [[0, 1], [1, 0]], r"labels must be 0 or 1, \[n, \], got shape \[2, 2\]"),
        (CLASSES, "labels", [0, 1], r"labels must be 0 or 1, \[n, 3\], got shape \[2\]"),
        (CLASSES, "labels", [[0, 1, 2], [0, 0, 0]], "labels of a multi-label task must be 0 or 1"),
        (PIXELS, "classes", [0, 1], r"class numbers \[n, 2\], or one-hot with 2 classes last, got shape \[2\]"),
        (PIXELS, "classes", [[0, 1], [1, 2]], "class numbers from 0 to 1"),
        (CLASSES, "values", [1.0, 2.0], r"labels must be numbers, \[n, 3\], got shape \[2\]"),
    ],
)
def test_labels_that_cannot_be_are_one_sentence(logits, task, labels, message):
    with pytest.raises(ValueError, match=message):
        right_answers(labels, logits.shape, task)


@pytest.mark.parametrize(
    ("loss", "logits", "task"),
    [
        (None, 3, "classes"),
        ("sparse_categorical_crossentropy", 3, "classes"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), 3, "classes"),
        (keras.losses.BinaryCrossentropy(from_logits=True), 1, "classes"),
        (keras.losses.BinaryCrossentropy(from_logits=True), 3, "labels"),
        ("binary_crossentropy", 3, "labels"),
        (keras.losses.BinaryFocalCrossentropy(), 2, "labels"),
        (keras.losses.MeanSquaredError(), 1, "values"),
        ("mse", 1, "values"),
        (keras.losses.mean_absolute_error, 2, "values"),
        (keras.losses.Huber(), 1, "values"),
        (lambda y, z: 0.0, 3, "classes"),
    ],
)
def test_the_task_of_a_loss(loss, logits, task):
    assert task_of_loss(loss, logits) == task


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def test_divergences():
    student, teacher = CLASSES, CLASSES[::-1].copy()
    wanted = kl(softmax(teacher / 2), softmax(student / 2))
    np.testing.assert_allclose(divergence(student, teacher, 2.0), wanted, rtol=1e-5)
    p, q = (1 / (1 + np.exp(-z / 2)) for z in (teacher, student))
    each = kl(np.stack([1 - p, p], axis=-1), np.stack([1 - q, q], axis=-1))
    np.testing.assert_allclose(divergence(student, teacher, 2.0, "labels"), each.mean(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(divergence(student[:, :1], teacher[:, :1], 2.0), each[:, 0], rtol=1e-4)
    np.testing.assert_allclose(divergence(student, teacher, 2.0, "values"), np.mean((student - teacher) ** 2, axis=-1))
    pixels = divergence(PIXELS, PIXELS[::-1].copy(), 1.0)
    np.testing.assert_allclose(pixels, kl(softmax(PIXELS[::-1]), softmax(PIXELS)).mean(axis=-1), rtol=1e-5)


def test_confidence_of_labels_and_of_pixels():
    sigmoid = 1 / (1 + np.exp(-np.abs(CLASSES)))
    np.testing.assert_allclose(confidence(CLASSES, "label_probability"), sigmoid.mean(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(confidence(BINARY, "label_probability"), confidence(BINARY), rtol=1e-6)
    for kind in ("max_probability", "entropy", "margin"):
        each = [confidence(PIXELS[:, pixel], kind) for pixel in range(2)]
        np.testing.assert_allclose(confidence(PIXELS, kind), np.mean(each, axis=0), rtol=1e-6)


@keras.saving.register_keras_serializable("test_tasks")
def nearness(values):
    return -keras.ops.abs(values[:, 0])


def test_a_confidence_of_ones_own():
    np.testing.assert_allclose(confidence(BINARY, nearness), [-1.5, -0.5])
    with pytest.raises(ValueError, match=r"must be registered, .* got <function .*<lambda>"):
        confidence(BINARY, lambda values: values[:, 0])
    with pytest.raises(ValueError, match=r"must return one number per image, \[batch\], got shape \(2, 1\)"):
        confidence(BINARY, columns)


@keras.saving.register_keras_serializable("test_tasks")
def columns(values):
    return values
