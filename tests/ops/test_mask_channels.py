"""Masks on groups of channels, by hand."""

import numpy as np

from keras_dynamic.ops import mask_channels


def test_a_decision_multiplies_its_channels():
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 1, 4)
    found = mask_channels(x, [np.float32([1, 0]), np.float32([0, 0.5])])
    np.testing.assert_array_equal(np.reshape(found, (2, 4)), [[0, 1, 0, 0], [0, 0, 3, 3.5]])


def test_a_number_is_for_all_images():
    x = np.ones((2, 1, 1, 4), np.float32)
    found = mask_channels(x, [True, np.float32([1, 0]), 0.0, 1])
    np.testing.assert_array_equal(np.reshape(found, (2, 4)), [[1, 1, 0, 1], [1, 0, 0, 1]])
