"""The class of the largest logit against NumPy."""

import keras
import numpy as np

from keras_dynamic.ops import predicted_class


def test_it_is_the_first_of_the_largest():
    logits = np.float32([[0, 2, 1], [-3, -1, -1], [-0.0, 0.0, -1], [5, -5, 5]])
    found = keras.ops.convert_to_numpy(predicted_class(logits))
    np.testing.assert_array_equal(found, logits.argmax(-1))
    np.testing.assert_array_equal(found, [1, 1, 0, 0])


def test_of_many_classes():
    logits = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    np.testing.assert_array_equal(predicted_class(logits), logits.argmax(-1))
