"""A plain network with exits on its way."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import exit_macs
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import IMTA
from keras_dynamic.models import msdnet, resnet_cifar
from keras_dynamic.transform import attach_exits, exit_places


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
        (["unit1"], -1, "filters must be a number of at least 0, or one for each of the 1 exits, got -1"),
        (["unit1", "unit2"], (8, 8, 8), r"one for each of the 2 exits, got \(8, 8, 8\)"),
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
    with pytest.raises(ValueError, match=r"an exit reads one tensor .*, but unit .* returns several tensors"):
        attach_exits(bare, [bare.chain.units[0].name])


def test_an_exit_of_copies_answers_as_the_rest_without_the_units_left_out(network, toy_images):
    images = toy_images(4)
    made = attach_exits(network, ["unit1"], copies=["unit3"])
    skipped = network.outcome(images)
    x = made.chain.stem(images)
    for unit in (made.chain.units[0], made.chain.units[2], made.chain.head):
        x = unit(x)
    outcome = made.outcome(images)
    np.testing.assert_allclose(array(outcome.exits["exit1"]), array(x), atol=1e-5)
    np.testing.assert_allclose(array(outcome.logits), array(skipped.logits), atol=1e-6)
    stem, unit = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4
    assert exit_macs(made) == [stem + 2 * unit + 12, stem + 4 * unit + 24]


def test_copies_have_weights_of_their_own(network, toy_images):
    made = attach_exits(network, ["unit1"], copies=["unit2", "unit3"], frozen=True)
    copies = made.chain.exits[0].head
    assert [layer.name for layer in copies.layers[:2]] == ["exit1_unit2", "exit1_unit3"]
    assert {id(variable) for variable in copies.variables}.isdisjoint(id(v) for v in network.variables)
    trained = {id(variable) for variable in made.trainable_variables}
    assert trained == {id(variable) for variable in copies.trainable_variables}
    assert len(trained) == 2 * 6 + 2  # two convolutions and norms of each unit, and the dense layer
    images, before = toy_images(4), array(network(toy_images(4)))
    for variable in copies.trainable_variables:
        variable.assign(variable + 1.0)
    np.testing.assert_array_equal(array(made.outcome(images).logits), before)


def test_exits_of_copies_are_saved(network, toy_images, tmp_path):
    made = attach_exits(network, ["unit1"], copies=["unit3"], frozen=True)
    made.save(tmp_path / "exits.keras")
    loaded = keras.models.load_model(tmp_path / "exits.keras")
    for one, other in zip(
        [made.outcome(toy_images(4)).exits["exit1"], made(toy_images(4))],
        [loaded.outcome(toy_images(4)).exits["exit1"], loaded(toy_images(4))],
        strict=True,
    ):
        np.testing.assert_allclose(array(one), array(other), atol=1e-6)


def test_a_frozen_network_keeps_its_answer_in_training(network, toy_images):
    made = attach_exits(network, ["unit1", "unit2"], copies=["unit3"], frozen=True)
    model = IMTA(made.chain, alpha=0.5)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(16), np.arange(16) % 3
    before = array(model(images)), array(model.outcome(images).exits["exit2"])
    model.fit(images, labels, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_array_equal(array(model(images)), before[0])
    assert np.abs(array(model.outcome(images).exits["exit2"]) - before[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("after", "copies", "words"),
    [
        ("stage2_unit1", ["stage3_unit9"], "copies names unit 'stage3_unit9', which is not there"),
        ("stage2_unit1", ["stage1_unit1"], r"later units, in order, .* 'stage1_unit1' takes \(32, 32, 16\) and gets"),
        ("stage1_unit1", ["stage3_unit1"], r"'stage3_unit1' takes \(16, 16, 32\) and gets \(32, 32, 16\)"),
        ("stage1_unit1", ["stage2_unit1"], r"the network's head takes, \(8, 8, 64\), but 'stage2_unit1' gives"),
        ("stage3_unit1", ["stage3_unit1"], "copies must be later units"),
    ],
)
def test_copies_that_do_not_fit_are_refused(after, copies, words):
    network = resnet_cifar(8)
    network.build((None, 32, 32, 3))
    with pytest.raises(ValueError, match=words):
        attach_exits(network, [after], copies=copies)


def test_exits_that_grow(network):
    made = attach_exits(network, ["unit2", "unit1"], filters=(0, 6))
    stem, unit, pooled, wide = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3, 4 * 4 * 9 * 4 * 6 + 6 * 3
    assert exit_macs(made)[:2] == [stem + unit + pooled, stem + 2 * unit + pooled + wide]


def test_gates_decide_as_before(toy_chain, toy_images, spread_gates):
    images = toy_images(12)
    gated = DynamicModel(toy_chain(units=3), PerUnitGates(hidden=4))
    gated.build((None, 8, 8, 3))
    spread_gates(gated, images)
    made, before = attach_exits(gated, ["unit1", "unit2"]), gated.outcome(images)
    after = made.outcome(images)
    np.testing.assert_allclose(array(after.logits), array(before.logits), atol=1e-6)
    for name, decisions in before.decisions.items():
        np.testing.assert_array_equal(array(after.decisions[name]), array(decisions))
    assert 0 < np.mean([array(value) for value in before.decisions.values()]) < 1
    both = DynamicModel(made.chain, CombinedDecider([made.decider, Confidence()]))
    both.build((None, 8, 8, 3))
    assert both.decision_names == ["unit1", "exit1", "unit2", "exit2", "unit3"]


def test_places_in_stages():
    deep, small = resnet_cifar(50, 3), resnet_cifar(8, 3)  # eight units in each of three stages, and one
    for network in (deep, small):
        network.build((None, 32, 32, 3))
    assert exit_places(deep) == [f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in (2, 6)]  # figure 4(a)
    assert exit_places(small, (0.5, 1)) == ["stage1_unit1", "stage2_unit1"]
    for shares in ((), (0.0,), (1.5,)):
        with pytest.raises(ValueError, match="shares must be numbers over 0 and up to 1"):
            exit_places(deep, shares)
