"""Each part of Keras without a public name is there, and does what the library takes it to do."""

import keras
import numpy as np
import pytest

from keras_dynamic import keras_hooks


@pytest.fixture
def model():
    image = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="hidden")(image)
    return keras.Model(image, keras.layers.Dense(2, name="logits")(keras.ops.abs(hidden)))


def test_layers_and_their_arguments(model):
    names = [layer.name for layer in keras_hooks.all_layers(keras.Sequential([model, keras.layers.ReLU(name="last")]))]
    assert {"hidden", "logits", "last"} <= set(names)
    assert model not in keras_hooks.all_layers(model, include_self=False)
    assert keras_hooks.takes_training(keras.layers.Dropout(0.5))
    assert not keras_hooks.takes_training(keras.layers.ReLU())


def test_metrics_of_a_layer_itself():
    class Measured(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="mean")

    assert [metric.name for metric in keras_hooks.own_metrics(Measured())] == ["mean"]
    assert keras_hooks.own_metrics(keras.Sequential([Measured()])) == []


def test_calls_with_other_arguments():
    class Named(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            keras_hooks.allow_other_arguments(self)

        def call(self, x, names):
            return x * len(names.found)

    class Names:
        found = ("one", "two")

    np.testing.assert_array_equal(Named()(np.ones((1, 2), np.float32), Names()), [[2, 2]])


def test_losses(model):
    assert keras_hooks.compiled_loss(model) is None
    model.compile("sgd", "mse")
    assert float(keras_hooks.compiled_loss(model)(np.ones((1, 2)), np.zeros((1, 2)), None)) == 1.0
    assert float(keras_hooks.per_replica(model, keras.ops.convert_to_tensor(3.0))) == 3.0
    assert keras_hooks.loss_tracker(model).name == "loss"


def test_graphs(model):
    operation, before = keras_hooks.origin(model.outputs[0])
    assert (operation.name, keras_hooks.origin(before)[0].__class__.__name__) == ("logits", "Absolute")
    assert keras_hooks.origin(model.inputs[0])[1] is None
    names = [type(node.operation).__name__ for node in keras_hooks.graph_nodes(model)]
    assert names == ["Dense", "Absolute", "Dense"]
    assert keras_hooks.has_graph(model)
    assert not keras_hooks.has_graph(keras.Sequential())
    assert "Absolute" in keras_hooks.operations()


def test_training_across_workers():
    """What AcrossWorkers overrides is there on TensorFlow, where it is needed (tests/experiments/test_strategy.py)."""
    assert keras_hooks.AcrossWorkers.__mro__[1] is keras.Model
    for name in ("_maybe_symbolic_build", "_make_function"):
        assert callable(getattr(keras.Model, name))
