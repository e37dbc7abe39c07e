"""One-shot policies: which column goes to which unit, what they see, what they cost."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import Policy
from keras_dynamic.layers import DynamicModel

UNIT, REST = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12  # MACs of a unit of the toy chain, and of its stem and head


def numpy(nest):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, nest)


def test_columns_go_to_the_decided_units_in_order(sure_of, toy_chain, toy_images):
    chances = [0.9, 0.2, 0.7]
    model = sure_of(Policy, chances, toy_chain(units=5), always=("unit2", "unit5"))
    outcome = numpy(model.outcome(toy_images(2)))
    assert model.decision_names == list(outcome.decisions) == ["unit1", "unit3", "unit4"]
    assert {name: value.tolist() for name, value in outcome.decisions.items()} == {
        "unit1": [1, 1],
        "unit3": [0, 0],
        "unit4": [1, 1],
    }
    np.testing.assert_allclose([value[0] for value in outcome.probabilities.values()], chances, rtol=1e-5)


def test_each_image_has_its_own_decisions(sure_of, toy_images):
    model = sure_of(Policy, [0.5] * 3)
    images = toy_images(40)
    means = images.mean(axis=(1, 2)) / 255
    kernel = 60 * np.random.default_rng(0).normal(size=(3, 3))
    bias = -np.median(means @ kernel, axis=0)
    model.decider.network.layers[-1].set_weights([kernel, bias])
    outcome = numpy(model.outcome(images))
    logits = means @ kernel + bias
    for column, name in enumerate(model.decision_names):
        np.testing.assert_allclose(outcome.probabilities[name], 1 / (1 + np.exp(-logits[:, column])), atol=1e-3)
        np.testing.assert_array_equal(outcome.decisions[name], logits[:, column] > 0)
    runs = np.stack(list(outcome.decisions.values()))
    np.testing.assert_allclose(
        outcome.cost, (REST + 9 + UNIT * runs.sum(axis=0)) / model.cost_tree.total_macs, rtol=1e-6
    )
    assert len(np.unique(runs, axis=1).T) > 3


def test_all_decisions_are_made_before_the_first_unit(sure_of, toy_images):
    """Whatever the units make of the image, the decisions are those of the image."""
    model = sure_of(Policy, [0.5] * 3, seed=0)
    assert Policy.one_shot
    model.decider.network.layers[-1].set_weights([50 * np.eye(3), np.full(3, -25.0)])
    before = numpy(model.outcome(toy_images()).decisions)
    for variable in model.chain.trainable_variables:
        variable.assign(3 * variable)
    after = numpy(model.outcome(toy_images()).decisions)
    keras.tree.map_structure(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("chances", [[1e-6] * 3, [1 - 1e-6] * 3])
def test_the_network_always_counts(chances, sure_of, toy_images):
    model = sure_of(Policy, chances)
    node = model.cost_tree
    assert node.total_macs == REST + 3 * UNIT + 3 * 3
    assert [child.name for child in node.children][:2] == ["stem", "policy"]
    ran = REST + 9 + (3 * UNIT if chances[0] > 0.5 else 0)
    np.testing.assert_allclose(model.outcome(toy_images()).cost, ran / node.total_macs, rtol=1e-6)
    assert node.total_parameters == model.count_params() - 3  # tau, steps and opened units are no parameters


def test_the_network_trains_when_the_model_does(toy_chain, toy_images):
    network = keras.Sequential(
        [layers.Rescaling(1 / 255), layers.BatchNormalization(), layers.GlobalAveragePooling2D()]
    )
    model = DynamicModel(toy_chain(), Policy(network))
    model.build((None, 8, 8, 3))
    mean = network.layers[1].moving_mean
    for training, moves in ((False, False), (True, True)):
        before = keras.ops.convert_to_numpy(mean).copy()
        model.outcome(toy_images(), training=training)
        assert (np.abs(keras.ops.convert_to_numpy(mean) - before).max() > 1e-4) == moves


def test_a_functional_network_and_a_dynamic_one(toy_chain, toy_images):
    image = keras.Input((8, 8, 3))
    functional = keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))
    for network in (functional, DynamicModel(toy_chain(units=1, classes=3))):
        outcome = DynamicModel(toy_chain(), Policy(network)).outcome(toy_images())
        wanted = 1 / (1 + np.exp(-keras.ops.convert_to_numpy(network(toy_images()))))
        np.testing.assert_allclose(np.stack(list(outcome.probabilities.values()), axis=1), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("end", "came"),
    [
        ([layers.GlobalAveragePooling2D(), layers.Dense(2)], r"\[None, 2\]"),
        ([layers.GlobalAveragePooling2D(), layers.Dense(4)], r"\[None, 4\]"),
        ([layers.Conv2D(3, 1)], r"\[None, 8, 8, 3\]"),
    ],
)
def test_a_wrong_number_of_outputs_is_an_error(end, came, toy_chain):
    model = DynamicModel(toy_chain(), Policy(keras.Sequential(end, name="looker")))
    with pytest.raises(
        ValueError,
        match=rf"policy network 'looker' must give one logit for each of the 3 units .* got {came}; build",
    ):
        model.build((None, 8, 8, 3))


def test_units_that_always_run_need_no_output(toy_chain, dense_policy):
    model = DynamicModel(toy_chain(), Policy(dense_policy(3), always=("unit1",)))
    with pytest.raises(ValueError, match=r"each of the 2 units that it decides, \[batch, 2\], got \[None, 3\]"):
        model.build((None, 8, 8, 3))


def test_several_outputs_are_an_error(toy_chain):
    image = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    network = keras.Model(image, [layers.Dense(3)(pooled), layers.Dense(3)(pooled)], name="twofold")
    with pytest.raises(ValueError, match="policy network 'twofold' must give one logit for each of the 3 units"):
        DynamicModel(toy_chain(), Policy(network)).build((None, 8, 8, 3))


def test_an_unknown_layer_in_the_network_has_no_cost(toy_chain):
    network = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3), _Odd()])
    with pytest.raises(ValueError, match=r"cost has no rule for layer 'odd'"):
        DynamicModel(toy_chain(), Policy(network)).build((None, 8, 8, 3))


class _Odd(layers.Layer):
    def __init__(self):
        super().__init__(name="odd")

    def call(self, x):
        return x + 1.0


def test_the_config_holds_the_network(sure_of):
    decider = sure_of(Policy, [0.3, 0.6]).decider
    again = Policy.from_config(decider.get_config())
    assert again.network is not decider.network
    assert again.network.get_config() == decider.network.get_config()
