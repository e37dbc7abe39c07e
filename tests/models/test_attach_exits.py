"""A plain network with exits on its way."""

import keras
import numpy as np
import pytest

from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import attach_exits, msdnet
from keras_dynamic.training import exit_macs


@pytest.fixture
def network(toy_chain):
    made = DynamicModel(toy_chain(units=3), name="plain")
    made.build((None, 8, 8, 3))
    return made


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_the_networks_own_answer_stays(network, toy_images):
    images = toy_images(4)
    before = array(network.outcome(images).logits)
    outcome = attach_exits(network, ["unit2", "unit1"]).outcome(images)
    np.testing.assert_allclose(array(outcome.logits), before, atol=1e-6)
    assert {name: tuple(logits.shape) for name, logits in outcome.exits.items()} == {"exit1": (4, 3), "exit2": (4, 3)}


@pytest.mark.parametrize(("filters", "own"), [(0, 4 * 3), (6, 4 * 4 * 9 * 4 * 6 + 6 * 3)])
def test_what_exits_cost(network, filters, own):
    made = attach_exits(network, ["unit1", "unit3"], filters)
    stem, unit = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4
    assert exit_macs(made) == [stem + unit + own, stem + 3 * unit + 2 * own, stem + 3 * unit + 2 * own + 12]


def test_exits_stand_in_the_order_of_units(network):
    made = attach_exits(network, ["unit3", "unit1"])
    assert [(each.name, each.after) for each in made.chain.exits] == [("exit1", "unit1"), ("exit2", "unit3")]


@pytest.mark.parametrize(
    ("after", "filters", "words"),
    [
        (["unit4"], 64, r"names unit 'unit4', which is not there.*units are \['unit1'"),
        (["unit1", "unit1"], 64, "one unit or several different ones"),
        ([], 64, "one unit or several different ones"),
        (["unit1"], -1, "filters must be a number of at least 0, got -1"),
    ],
)
def test_what_is_refused(network, after, filters, words):
    with pytest.raises(ValueError, match=words):
        attach_exits(network, after, filters)


def test_a_network_with_exits_is_refused(network):
    with pytest.raises(ValueError, match=r"without exits, got 'plain', which has the exits \['exit1'\]"):
        attach_exits(attach_exits(network, ["unit1"]), ["unit2"])


def test_units_that_hand_on_several_scales_are_refused():
    made = msdnet(blocks=2, channels=4, growth=2)
    made.build((None, 32, 32, 3))
    bare = DynamicModel(type(made.chain)(made.chain.stem, made.chain.units, made.chain.head), name="bare")
    bare.build((None, 32, 32, 3))
    with pytest.raises(ValueError, match=r"an exit reads a feature map, but unit .* hands on several"):
        attach_exits(bare, [bare.chain.units[0].name])
