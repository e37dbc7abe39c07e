"""A classifier that goes on from the answer of the one before."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.layers import Collaborative

rng = np.random.default_rng(0)
X, PREVIOUS = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)


def test_it_adds_the_answer_before():
    dense = layers.Dense(3)
    found = Collaborative(dense)(X, previous=PREVIOUS)
    np.testing.assert_allclose(found, X @ keras.ops.convert_to_numpy(dense.kernel) + PREVIOUS, atol=1e-6)


def test_what_is_transferred_may_be_learned():
    dense, transfer = layers.Dense(3), layers.Dense(3, use_bias=False)
    layer = Collaborative(dense, [transfer])
    found = layer(X, previous=PREVIOUS)
    kernels = [keras.ops.convert_to_numpy(part.kernel) for part in (dense, transfer)]
    np.testing.assert_allclose(found, X @ kernels[0] + PREVIOUS @ kernels[1], atol=1e-6)
    specs = (keras.KerasTensor((None, 6)), keras.KerasTensor((None, 3)))
    assert cost.tree(layer, specs).total_macs == 6 * 3 + 3 * 3


def test_no_gradient_reaches_the_answer_before(gradient):
    layer = Collaborative(layers.Dense(3))
    layer(X, previous=PREVIOUS)
    slope = gradient(lambda previous: layer(X, previous=previous) + 2 * previous, PREVIOUS)
    np.testing.assert_array_equal(slope, np.full((5, 3), 2))  # of what was added here alone
    assert np.abs(gradient(lambda x: layer(x, previous=PREVIOUS), X)).max() > 0


def test_it_is_rebuilt_from_its_config():
    layer = Collaborative(layers.Dense(3), [layers.Dense(4), layers.Dense(3)])
    again = Collaborative.from_config(layer.get_config())
    assert [each.units for each in again.transfer.layers] == [4, 3]
    assert Collaborative.from_config(Collaborative(layers.Dense(3)).get_config()).transfer is None


def test_the_first_exit_has_nothing_to_go_on_from():
    with pytest.raises(ValueError, match=r"the head 'first' adds to the logits of the exit before, but there is none"):
        Collaborative(layers.Dense(3), name="first")(X)


def test_exits_of_different_classes_cannot_collaborate():
    with pytest.raises(ValueError, match=r"gives 4 classes and the exit before it 3; they must be the same"):
        Collaborative(layers.Dense(4))(X, previous=PREVIOUS)
