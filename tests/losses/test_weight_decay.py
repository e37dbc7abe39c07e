"""Weight decay in the loss: half the sum of squares, so that its gradient is PyTorch's."""

import keras
import numpy as np
import pytest

from keras_dynamic.losses import weight_decay


def test_value_and_gradient(gradient):
    variables = [np.array([1.0, -2.0], np.float32), np.array([[3.0]], np.float32)]
    assert float(weight_decay(variables, 0.1)) == pytest.approx(0.5 * 0.1 * (1 + 4 + 9))
    np.testing.assert_allclose(gradient(lambda w: weight_decay([w], 0.1), variables[0]), 0.1 * variables[0], rtol=1e-6)


def test_no_variables_cost_nothing():
    assert float(weight_decay([], 0.1)) == 0.0


def test_half_precision_weights_are_summed_in_float32():
    weights = keras.ops.cast(np.full(4096, 0.1, np.float32), "bfloat16")
    assert float(weight_decay([weights], 2.0)) == pytest.approx(4096 * 0.01, rel=0.01)
