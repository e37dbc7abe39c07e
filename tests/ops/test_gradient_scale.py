"""Values stay, gradients are scaled."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import scale_gradient

X = np.array([-3.5, 0.0, 0.1, 1e6], np.float32)


@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0, 3.0])
def test_the_value_stays_and_the_gradient_is_scaled(factor, gradient):
    assert (keras.ops.convert_to_numpy(scale_gradient(X, factor)) == X).all()
    incoming = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    found = gradient(lambda x: incoming * scale_gradient(x, factor), X)
    np.testing.assert_allclose(found, factor * incoming, rtol=1e-6)
