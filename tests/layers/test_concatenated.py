"""The unit of dense networks: its readings against NumPy, gradients, cost, saving, errors."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import ChannelGroups, Concatenated

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
D = np.array([1, 0, 1, 0], np.float32)


class TestConcatenated(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            Concatenated,
            {"body": layers.ReLU(name="body")},
            input_data=X,
            expected_output=keras.ops.convert_to_tensor(np.concatenate([X, np.maximum(X, 0)], -1)),
            expected_num_trainable_weights=0,
            run_mixed_precision_check=False,  # the body is made once, under one policy
        )


def convolved():
    """A unit of a 1x1 convolution to 3 channels, and what it adds to X by NumPy."""
    unit = Concatenated([layers.Conv2D(3, 1, bias_initializer="ones")], name="unit")
    unit.build(X.shape)
    return unit, X @ keras.ops.convert_to_numpy(unit.body.layers[0].kernel)[0, 0] + 1


def test_what_it_gives_run_and_skipped():
    unit, added = convolved()
    nothing = np.zeros_like(added)
    np.testing.assert_allclose(unit(X), np.concatenate([X, added], -1), atol=1e-5)
    np.testing.assert_allclose(unit.skip(X), np.concatenate([X, nothing], -1))
    np.testing.assert_allclose(unit.branch(X), added, atol=1e-5)
    np.testing.assert_array_equal(unit.otherwise(X), nothing)
    masked = np.concatenate([X, D[:, None, None, None] * added], -1)
    np.testing.assert_allclose(unit(X, decision=D), masked, atol=1e-5)


def test_the_gradient_of_a_decision_is_what_it_adds(gradient):
    unit, added = convolved()
    np.testing.assert_allclose(gradient(lambda d: unit(X, decision=d), D), added.sum((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_cost_and_spec():
    unit, _ = convolved()
    node = unit.cost_node(keras.KerasTensor((None, 6, 6, 2)), cost.Guard("unit"))
    assert (node.total_macs, node.macs) == (6 * 6 * 2 * 3, 0)
    assert [(child.name, child.when) for child in node.children] == [("unit/body", cost.Guard("unit"))]
    assert tuple(unit(keras.KerasTensor((None, 6, 6, 2))).shape) == (None, 6, 6, 5)


def test_a_body_that_changes_the_size_is_an_error():
    unit = Concatenated([layers.AveragePooling2D(2)], name="unit")
    with pytest.raises(ValueError, match=r"unit 'unit': body gives shape \(4, 3, 3, 2\) for input \(4, 6, 6, 2\)"):
        unit.build(X.shape)


def test_a_body_that_is_no_layer_is_an_error():
    with pytest.raises(ValueError, match="body must be a Keras layer or a list of layers, got int 3"):
        Concatenated(3)


def test_groups_of_channels_of_the_body():
    """The body is a sum over its groups: what a group that is off would have added is left out."""
    body = ChannelGroups([layers.Conv2D(6, 1, use_bias=False)], [layers.Conv2D(3, 1, use_bias=False)], 2, forced=1)
    unit = Concatenated(body, name="unit")
    unit.build(X.shape)
    parts = (body.expand.layers[0], body.contract.layers[0])
    first, second = (keras.ops.convert_to_numpy(part.kernel)[0, 0] for part in parts)
    always, one, other = (X @ first[:, side] @ second[side] for side in (slice(0, 2), slice(2, 4), slice(4, 6)))
    assert unit.group_names == ("unit[1]", "unit[2]")
    d = D[:, None, None, None]
    expected = np.concatenate([X, always + d * one + other], -1)
    np.testing.assert_allclose(unit(X, groups=[D, np.ones_like(D)]), expected, atol=1e-5)
    expected = np.concatenate([X, d * (always + other)], -1)
    np.testing.assert_allclose(unit(X, decision=D, groups=[1 - D, np.ones_like(D)]), expected, atol=1e-5)
    guards = tuple(map(cost.Guard, unit.group_names))
    node = unit.cost_node(keras.KerasTensor((None, 6, 6, 2)), cost.Guard("unit"), guards)
    on, off = np.ones(1), np.zeros(1)
    assert cost.given(node, {"unit": on, "unit[1]": on, "unit[2]": off}) == [2 * 36 * (4 + 6)]


def test_decisions_on_groups_of_a_body_without_any_are_an_error():
    unit, _ = convolved()
    with pytest.raises(ValueError, match="unit 'unit' has no groups that could be switched, got decisions on 1"):
        unit(X, groups=[D])
