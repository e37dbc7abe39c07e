"""Every stride-th pixel, zero channels before and after."""

import keras
import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import PadShortcut

IMAGE = np.arange(1 * 5 * 4 * 2, dtype=np.float32).reshape(1, 5, 4, 2)


class TestPadShortcut(testing.TestCase):
    def test_keras_own_layer_test(self):
        wanted = np.zeros((1, 3, 2, 6), np.float32)
        wanted[..., 2:4] = IMAGE[:, ::2, ::2]
        self.run_layer_test(
            PadShortcut,
            {"filters": 6, "stride": 2},
            input_data=IMAGE,
            expected_output=keras.ops.convert_to_tensor(wanted),
            expected_num_trainable_weights=0,
            expected_num_non_trainable_variables=0,
        )
        self.run_layer_test(
            PadShortcut, {"filters": 4, "stride": 1}, input_shape=(2, 3, 3, 4), expected_output_shape=(2, 3, 3, 4)
        )


@pytest.mark.parametrize("filters", [1, 3])
def test_channels_that_cannot_be_padded_evenly_are_an_error(filters):
    with pytest.raises(ValueError, match=f"must exceed the input's 2 channels by an even number, got {filters}"):
        PadShortcut(filters)(IMAGE)


def test_it_costs_nothing():
    assert cost.tree(PadShortcut(6), IMAGE).total_macs == 0
