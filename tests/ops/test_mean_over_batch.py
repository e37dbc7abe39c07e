"""The mean of a batch under sample weights, as Keras' losses have it."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import mean_over_batch

VALUES = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
WEIGHTS = np.array([0.0, 1.0, 3.0, 0.5], np.float32)


def test_without_weights():
    assert float(mean_over_batch(VALUES)) == 3.75


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS[:, None], WEIGHTS.astype(int)])
def test_it_is_that_of_keras(weights):
    loss = keras.losses.MeanAbsoluteError()(np.zeros((4, 1)), VALUES[:, None], weights)
    assert float(mean_over_batch(VALUES, weights)) == pytest.approx(float(loss))
