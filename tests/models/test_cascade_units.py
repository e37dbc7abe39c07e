"""The pieces of a cascade as layers."""

import keras
import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.deciders import Never, Pattern, PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import cascade
from keras_dynamic.models.cascade import FirstNetwork, Leaf, NextNetwork


@pytest.fixture
def network(classifier):
    return classifier(2, "net")


def test_the_first_network_makes_image_and_logits(network, labelled):
    images, _ = labelled(4)
    layer = FirstNetwork(network, temperature=2.0)
    x = layer(images)
    np.testing.assert_array_equal(x["image"], images)
    np.testing.assert_allclose(x["logits"], network(images) / 2, rtol=1e-6)
    again = FirstNetwork.from_config(layer.get_config())
    assert float(keras.ops.convert_to_numpy(again.temperature)) == 2.0
    assert cost.tree(layer, keras.KerasTensor((None, 8, 8, 3))).total_macs == 27 * 2 * 64 + 2 * 3


def test_the_next_network_adds_its_logits(network, labelled):
    images, _ = labelled(4)
    unit = NextNetwork(network, temperature=2.0, name="next")
    x = {"image": keras.ops.convert_to_tensor(images), "logits": keras.ops.ones((4, 3))}
    added = 1 + keras.ops.convert_to_numpy(network(images)) / 2
    np.testing.assert_allclose(unit(x)["logits"], added, rtol=1e-5)
    decided = unit(x, decision=np.float32([1, 0, 0, 1]))
    np.testing.assert_allclose(decided["logits"], np.where([[1], [0], [0], [1]], added, 1.0), rtol=1e-5)
    assert unit.skip(x) is x
    assert unit.branch(x)["image"] is x["image"]  # a leaf that is no work of the branch is handed through
    node = unit.cost_node(keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape), x), cost.Guard("next"))
    assert (node.when, node.total_macs) == (cost.Guard("next"), 27 * 2 * 64 + 2 * 3)


def test_temperatures_are_variables_that_training_leaves_alone(network):
    unit = NextNetwork(network, temperature=2.0)
    assert not unit.temperature.trainable
    assert unit.temperature.dtype == "float32"


@pytest.mark.parametrize("decider", [Never(), Pattern({"gated": 0})])
def test_a_fixed_decider_may_skip_a_dynamic_network(decider, network, toy_chain, labelled):
    images, _ = labelled(4)
    gated = DynamicModel(toy_chain(), PerUnitGates(), name="gated")
    gated.build((None, 8, 8, 3))
    model = DynamicModel(cascade([network, gated]).chain, decider)
    outcome = model.outcome(images)
    np.testing.assert_array_equal(outcome.logits, network(images))
    assert list(outcome.decisions) == ["gated", "gated/unit1", "gated/unit2", "gated/unit3"] == model.decision_names
    assert not np.any([keras.ops.convert_to_numpy(value) for value in outcome.decisions.values()])
    np.testing.assert_allclose(outcome.cost * model.cost_tree.total_macs, 27 * 2 * 64 + 2 * 3, rtol=1e-5)


class TestLeaf(testing.TestCase):
    def test_keras_own_serialization_test(self):
        self.run_class_serialization_test(Leaf("logits"))

    def test_it_hands_a_leaf_through(self):
        x = {"image": keras.ops.ones((2, 4)), "logits": keras.ops.zeros((2, 3))}
        assert Leaf("logits")(x) is x["logits"]
        assert cost.tree(Leaf("logits"), x).total_macs == 0
