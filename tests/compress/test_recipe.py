"""Networks as rows: what is pruned, which weights travel, what is refused."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.compress.recipe import Recipe
from keras_dynamic.layers import Chain, ChannelGroups, DynamicModel, Residual
from keras_dynamic.models import resnet_cifar


@pytest.fixture
def network():
    made = resnet_cifar(8, 3)
    made.build((None, 32, 32, 3))
    return made


def test_rows_are_plain_and_all_kernels_but_the_first_count(network):
    recipe = Recipe(network, ["stage2_unit1"])
    assert json.loads(json.dumps(recipe.rows))
    kernels = [recipe.layers[k].name for k, row in enumerate(recipe.rows) if row["kernel"]]
    assert len(kernels) == 7  # two of each unit, and the dense layer
    assert kernels[-1] == "logits"
    (decided,) = (row for row in recipe.rows if row["kind"] == "Decided")
    assert decided["config"] == {"decision": 0}
    (pad, *_) = (row for row in recipe.rows if row["kind"] == "PadChannels")
    assert pad["config"] == {"filters": 32}


def test_a_layer_that_is_not_trainable_stays_so(network):
    frozen = network.chain.head.layers[-1]
    frozen.trainable = False
    recipe = Recipe(network)
    (row,) = (recipe.rows[k] for k, layer in recipe.layers.items() if layer is frozen)
    assert (row["trainable"], row["kernel"]) == (False, False)
    assert sum(row["trainable"] for row in recipe.rows) == len(recipe.rows) - 1


def test_weights_go_there_and_back(network):
    recipe = Recipe(network)
    arrays = recipe.arrays()
    assert sum(array.size for array in arrays.values()) == network.count_params() - sum(
        np.prod(weight.shape) for weight in network.weights if "seed" in weight.path
    )
    recipe.take({name: array + 1 for name, array in arrays.items()})
    for name, array in recipe.arrays().items():
        np.testing.assert_array_equal(array, arrays[name] + 1)


def functional(*rest):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    for layer in rest:
        x = layer(x)
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: functional(layers.LayerNormalization(name="norm")), "no counterpart in tf_keras of LayerNormal.*norm"),
        (lambda: functional(layers.Lambda(lambda x: 2 * x, name="double")), "no counterpart in tf_keras of Lambda 'do"),
        (lambda: functional(lambda x: x * 2.0), "Multiply .* with the constant 2.0; take a Keras layer"),
        (lambda: functional(*[layers.Conv2D(4, 1, name="same")] * 2), "layer 'same' is called more than once"),
        (lambda: functional(layers.Conv2D(4, 1, activation="hard_sigmoid", name="c")), "'c' has the activation 'hard_"),
        (lambda: functional(layers.Activation("softmax")), "has the activation 'softmax'"),
    ],
    ids=["layer", "lambda", "constant", "shared", "activation", "softmax"],
)
def test_what_has_no_counterpart_is_named(made, message):
    with pytest.raises(ValueError, match=message):
        Recipe(made())


def test_groups_of_channels_are_refused():
    body = ChannelGroups([layers.Conv2D(8, 3, padding="same")], [layers.Conv2D(4, 3, padding="same")], 4)
    stem, head = [layers.Conv2D(4, 3)], [layers.GlobalAveragePooling2D(), layers.Dense(2)]
    network = DynamicModel(Chain(stem, [Residual(body, name="unit1")], head))
    network.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="unit 'unit1' has decisions on groups of its body"):
        Recipe(network)


def test_a_derived_layer_is_not_taken_for_its_base():
    class Scaled(layers.Dense):
        def call(self, x):
            return 2 * super().call(x)

    with pytest.raises(ValueError, match="no counterpart in tf_keras of Scaled"):
        Recipe(functional(Scaled(4)))
