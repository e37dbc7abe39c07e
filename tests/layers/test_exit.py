"""A head on x or on a leaf of it."""

import keras
import numpy as np
from keras import layers
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import Exit

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)


class TestExit(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            Exit,
            {"head": layers.GlobalAveragePooling2D(name="pool"), "after": "unit1"},
            input_data=X,
            expected_output=keras.ops.convert_to_tensor(X.mean(axis=(1, 2))),
            run_mixed_precision_check=False,  # the head is made once, under one policy
        )


def test_a_leaf_and_a_list_of_layers():
    exit_ = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", leaf="coarse")
    found = exit_({"coarse": X, "fine": X[:, :1]})
    dense = exit_.head.layers[-1]
    wanted = X.mean(axis=(1, 2)) @ keras.ops.convert_to_numpy(dense.kernel)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    specs = {"coarse": keras.KerasTensor((None, 6, 6, 2)), "fine": keras.KerasTensor((None, 1, 6, 2))}
    assert cost.tree(exit_, specs).total_macs == 2 * 3
    assert Exit.from_config(exit_.get_config()).leaf == "coarse"
