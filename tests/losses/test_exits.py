"""The losses of several exits, by hand."""

import keras
import numpy as np
import pytest

from keras_dynamic.losses import exit_losses

LOGITS = [np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([[3.0, 0.0], [0.0, 1.0]], np.float32)]
LABELS = np.array([0, 1])


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(logits):
    return -np.log(softmax(logits)[np.arange(2), LABELS]).mean()


def task(logits):
    return cross_entropy(keras.ops.convert_to_numpy(logits))


def test_each_exit_has_its_weighted_task_loss():
    found = exit_losses(LOGITS, LOGITS[1], task, [2.0, 0.5])
    np.testing.assert_allclose(found, [2 * cross_entropy(LOGITS[0]), 0.5 * cross_entropy(LOGITS[1])], rtol=1e-6)


@pytest.mark.parametrize("weights", [None, np.array([0.5, 2.0], np.float32)])
def test_the_deepest_exit_teaches_the_others(weights):
    found = exit_losses(LOGITS[:1], LOGITS[1], task, [2.0], 0.25, 3.0, weights)
    teacher, student = softmax(LOGITS[1] / 3), softmax(LOGITS[0] / 3)
    each = (teacher * np.log(teacher / student)).sum(axis=1)
    divergence = 9 * np.mean(each if weights is None else each * weights)
    np.testing.assert_allclose(found, [2 * (0.25 * cross_entropy(LOGITS[0]) + 0.75 * divergence)], rtol=1e-5)


def test_teaching_does_not_change_the_teacher(gradient):
    def taught(deepest):
        return exit_losses(LOGITS[:1], deepest, task, [1.0], 0.5, 2.0)[0] + 2 * keras.ops.sum(deepest)

    np.testing.assert_array_equal(gradient(taught, LOGITS[1]), np.full((2, 2), 2))  # of what was added here alone
