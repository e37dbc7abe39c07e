"""Teaching cost a layer, and what it says of layers that it does not know."""

import keras
import pytest
from keras import layers

from keras_dynamic import cost


class Twice(layers.Layer):
    """A user's layer: two products with one matrix."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return x @ self.kernel @ self.kernel


class Unknown(layers.Layer):
    def call(self, x):
        return x


class Conv2Dd(layers.Layer):
    def call(self, x):
        return x


def test_an_unknown_layer_names_register():
    with pytest.raises(ValueError, match=r"no rule for layer 'mine' of type Unknown; .*@keras_dynamic\.cost\.register"):
        cost.tree(Unknown(name="mine"), keras.KerasTensor((None, 3)))


def test_a_near_type_is_suggested():
    with pytest.raises(ValueError, match=r"type Conv2Dd \(did you mean 'Conv2D'\?\)"):
        cost.tree(Conv2Dd(), keras.KerasTensor((None, 3)))


def test_registering_teaches_the_layer_and_its_children():
    @cost.register(Twice)
    def rule(layer, inputs):
        return 2 * inputs.shape[-1] ** 2

    class Child(Twice):
        pass

    assert rule(None, keras.KerasTensor((None, 5))) == 50  # handed back as it is
    for layer in (Twice(name="twice"), Child(name="twice")):
        layer.build((None, 5))
        assert cost.tree(layer, keras.KerasTensor((None, 5))) == cost.Node("twice", 50, 25)
    model = keras.Sequential([keras.Input((5,)), Twice(), layers.Dense(2)])
    assert cost.tree(model).total_macs == 60


def test_a_rule_may_give_a_node():
    class Parts(layers.Layer):
        def call(self, x):
            return x

    @cost.register(Parts)
    def _(layer, inputs):
        return cost.Node(layer.name, 1, children=(cost.Node("a", 2), cost.Node("b", 3)))

    node = cost.tree(Parts(), keras.KerasTensor((None, 5)), name="renamed")
    assert node.name == "renamed"
    assert node.total_macs == 6


def test_an_own_rule_goes_before_that_of_the_parent():
    class FreeDense(layers.Dense):
        pass

    cost.register(FreeDense)(lambda layer, inputs: 0)
    assert cost.tree(FreeDense(4), keras.KerasTensor((None, 5))).macs == 0
    assert cost.tree(layers.Dense(4), keras.KerasTensor((None, 5))).macs == 20


def test_register_takes_classes():
    with pytest.raises(TypeError, match=r"register takes layer classes, got .*; use it as @register\(MyLayer\)"):
        cost.register(layers.Dense(3))


def test_an_unbuilt_model_is_an_error():
    with pytest.raises(ValueError, match=r"cost of 'unbuilt' needs its input shape.*call it on an image first or give"):
        cost.tree(keras.Sequential([layers.Dense(3)], name="unbuilt"))


def test_an_unbuilt_dynamic_model_is_an_error(toy_chain):
    from keras_dynamic.layers import DynamicModel

    with pytest.raises(ValueError, match="cost of 'toy' needs its input shape"):
        cost.tree(DynamicModel(toy_chain(), name="toy"))


def test_unknown_sizes_are_an_error():
    layer = layers.Conv2D(4, 3)
    layer.build((None, None, None, 3))
    with pytest.raises(ValueError, match=r"needs known sizes, got input shapes \[\(None, None, None, 3\)\]"):
        cost.tree(layer, keras.KerasTensor((None, None, None, 3)))


def test_errors_of_a_rule_itself_come_through():
    class Broken(layers.Layer):
        def call(self, x):
            return x

    @cost.register(Broken)
    def _(layer, inputs):
        return len(5)

    with pytest.raises(TypeError, match="has no len"):
        cost.tree(Broken(), keras.KerasTensor((None, 3)))


def test_output_spec_maps_over_nests():
    x = keras.Input((4,))
    model = keras.Model(x, {"a": layers.Dense(2)(x), "b": x})
    specs = cost.output_spec(model, keras.KerasTensor((None, 4)))
    assert {name: tuple(spec.shape) for name, spec in specs.items()} == {"a": (None, 2), "b": (None, 4)}
