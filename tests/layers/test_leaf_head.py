"""A head on a leaf of x."""

import keras
import numpy as np
from keras import layers

from keras_dynamic import cost
from keras_dynamic.layers import LeafHead

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)


def test_it_reads_its_leaf_alone():
    head = LeafHead([layers.GlobalAveragePooling2D(), layers.Dense(3)], "coarse")
    found = head({"coarse": X, "fine": X[:, :1]})
    wanted = X.mean(axis=(1, 2)) @ keras.ops.convert_to_numpy(head.head.layers[-1].kernel)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_it_costs_its_head_which_is_no_exit():
    specs = {"coarse": keras.KerasTensor((None, 6, 6, 2)), "fine": keras.KerasTensor((None, 1, 6, 2))}
    head = LeafHead([layers.GlobalAveragePooling2D(), layers.Dense(3)], "coarse")
    head(specs)
    node = cost.tree(head, specs)
    assert (node.total_macs, node.total_parameters, node.exit) == (2 * 3, 2 * 3 + 3, False)


def test_serialization():
    head = LeafHead(layers.Dense(3, name="dense"), "coarse", name="head")
    again = LeafHead.from_config(head.get_config())
    assert (again.leaf, again.name, again.head.units) == ("coarse", "head", 3)
