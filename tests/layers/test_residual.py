"""The residual unit: both masks against NumPy, shapes, saving, errors."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import PadShortcut, Residual

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
D = np.array([1, 0, 1, 0], np.float32)


class Scale(layers.Layer):
    """A user's own body: minus twice the input."""

    def call(self, x):
        return -2.0 * x


class TestResidual(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            Residual,
            {"body": layers.ReLU(name="body"), "activation": "relu", "mask": "convex"},
            input_data=X,
            expected_output=keras.ops.convert_to_tensor(np.maximum(X + np.maximum(X, 0), 0)),
            expected_num_trainable_weights=0,
            run_mixed_precision_check=False,  # the body is made once, under one policy
        )


@pytest.mark.parametrize("mask", ["product", "convex"])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_the_values_of_both_masks(mask, activation):
    unit = Residual(Scale(), activation=activation, mask=mask)
    act = {None: lambda x: x, "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[activation]
    ran, skipped = act(X - 2 * X), act(X)
    wanted = np.where(D[:, None, None, None] > 0, ran, skipped)
    np.testing.assert_allclose(unit(X, decision=D), wanted, atol=1e-6)
    np.testing.assert_allclose(unit(X), ran, atol=1e-6)
    np.testing.assert_allclose(unit.skip(X), skipped, atol=1e-6)
    np.testing.assert_allclose(unit.branch(X), ran, atol=1e-6)
    np.testing.assert_allclose(unit.otherwise(X), skipped, atol=1e-6)


def test_the_gradients_of_the_masks_differ(gradient):
    d = np.array([1.0], np.float32)
    x = np.full((1, 1, 1, 1), 3.0, np.float32)  # relu(x - 2 x) is cut off, relu(x) is not
    product, convex = Residual(Scale(), activation="relu"), Residual(Scale(), activation="relu", mask="convex")
    assert gradient(lambda d: product(x, decision=d), d) == pytest.approx([0.0])
    assert gradient(lambda d: convex(x, decision=d), d) == pytest.approx([0.0 - 3.0])
    assert gradient(lambda d: product(-x, decision=d), d) == pytest.approx([6.0])  # d relu(-3 + 6 d)
    assert gradient(lambda d: convex(-x, decision=d), d) == pytest.approx([3.0 - 0.0])


def test_soft_decisions_scale_the_body():
    unit = Residual(Scale())
    np.testing.assert_allclose(unit(X, decision=np.full(4, 0.25, np.float32)), X - 0.5 * X, atol=1e-6)


def test_the_shortcut_changes_the_shape():
    body = [layers.ZeroPadding2D(1), layers.Conv2D(6, 3, 2)]
    unit = Residual(body, PadShortcut(6, 2), "relu")
    shortcut = np.zeros((4, 3, 3, 6), np.float32)
    shortcut[..., 2:4] = X[:, ::2, ::2]
    np.testing.assert_allclose(unit.skip(X), np.maximum(shortcut, 0))
    assert tuple(unit(X, decision=D).shape) == (4, 3, 3, 6)
    assert tuple(unit(keras.KerasTensor((None, 6, 6, 2))).shape) == (None, 3, 3, 6)
    node = unit.cost_node(keras.KerasTensor((None, 6, 6, 2)), cost.Guard("unit"))
    assert node.when is None
    assert [(child.total_macs, child.when) for child in node.children] == [
        (0, None),
        (9 * 6 * 9 * 2, cost.Guard("unit")),
    ]


def test_a_shortcut_with_work_always_runs():
    unit = Residual([layers.Conv2D(6, 3, padding="same")], layers.Conv2D(6, 1), name="unit")
    unit(X)
    x = keras.KerasTensor((None, 6, 6, 2))
    tree = cost.Node("net", children=(unit.cost_node(x, cost.Guard("unit")),))
    assert cost.given(tree, {"unit": [0, 1]}).tolist() == [36 * 2 * 6, 36 * 2 * 6 + 36 * 9 * 2 * 6]
    assert cost.tree(unit, x).total_macs == 36 * 2 * 6 + 36 * 9 * 2 * 6


def test_a_functional_body():
    x = keras.Input((6, 6, 2))
    unit = Residual(keras.Model(x, layers.Conv2D(2, 3, padding="same")(x)))
    assert tuple(unit(X, decision=D).shape) == X.shape
    assert cost.tree(unit, keras.KerasTensor((None, 6, 6, 2))).total_macs == 36 * 9 * 4


def test_saving_keeps_everything(tmp_path):
    x = keras.Input((6, 6, 2))
    body = [layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization()]
    model = keras.Model(x, Residual(body, layers.Conv2D(2, 1), "swish", "convex", name="unit")(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    unit = loaded.get_layer("unit")
    assert (unit.mask, keras.activations.serialize(unit.activation)) == ("convex", "silu")
    np.testing.assert_array_equal(loaded(X), model(X))
    np.testing.assert_array_equal(unit(X, decision=D), model.get_layer("unit")(X, decision=D))


def test_different_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"'wide': body gives shape \(4, 6, 6, 5\) and shortcut \(4, 6, 6, 2\)"):
        Residual(layers.Conv2D(5, 3, padding="same"), name="wide")(X)


def test_an_unknown_mask_is_an_error():
    with pytest.raises(ValueError, match=r"mask must be one of \('product', 'convex'\), got 'sum'"):
        Residual(Scale(), mask="sum")


@pytest.mark.parametrize(("arguments", "name"), [(("relu",), "body"), ((Scale(), abs), "shortcut")])
def test_what_is_no_layer_is_an_error(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be a Keras layer or a list of layers, got"):
        Residual(*arguments)


def test_a_bare_convolution_as_body_has_no_channel_groups():
    """Keras' convolutions have an attribute `groups` of their own."""
    unit = Residual(keras.layers.Conv2D(4, 1), name="unit")
    unit.build((None, 8, 8, 4))
    assert unit.group_names == ()
    with pytest.raises(ValueError, match="unit 'unit' has no groups that could be switched, got decisions on 2"):
        unit(np.zeros((1, 8, 8, 4), "float32"), groups=[1.0, 0.0])
