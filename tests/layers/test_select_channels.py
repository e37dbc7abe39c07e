"""Channels by number, and zeros."""

import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import SelectChannels

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)


class TestSelectChannels(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            SelectChannels,
            {"channels": (4, -1, 0)},
            input_data=X,
            expected_output_shape=(2, 3, 4, 3),
            expected_num_trainable_weights=0,
        )


def test_channels_come_in_the_given_order():
    np.testing.assert_array_equal(SelectChannels((3, 0))(X), X[..., [3, 0]])
    found = np.asarray(SelectChannels((-1, 2, -1, 4))(X))
    np.testing.assert_array_equal(found[..., [1, 3]], X[..., [2, 4]])
    assert not found[..., [0, 2]].any()


def test_they_cost_nothing():
    layer = SelectChannels((1,))
    layer(X)
    assert cost.tree(layer, X).total_macs == 0


def test_numbers_must_be_channels():
    with pytest.raises(ValueError, match=r"channels must lie in 0 to 4, or be -1 for zeros, got \[5, -2\]"):
        SelectChannels((0, 5, -2))(X)
    for wrong in ((), 5, [0.7, 1.2], [True], "01"):
        with pytest.raises(ValueError, match="channels must be a list of one int or more, got"):
            SelectChannels(wrong)
