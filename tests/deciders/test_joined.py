"""Several deciders over one chain: each decides what it would decide alone."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import (
    ChannelGates,
    CombinedDecider,
    Confidence,
    FirstK,
    Patience,
    PerUnitGates,
    SequentialPolicy,
)
from keras_dynamic.layers import Decider, DynamicModel, Exit
from tests.layers.grouped import chain as grouped_chain


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def chain_of(toy_chain):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    return toy_chain(units=3, exits=exits)


@pytest.fixture
def chain(toy_chain):
    return chain_of(toy_chain)


def built(chain, *deciders):
    model = DynamicModel(chain, CombinedDecider(deciders))
    model.build((None, 8, 8, 3))
    return model


@pytest.fixture
def joined(chain, toy_images, spread_exits):
    """Gates that open for half of the images, and an exit at which half of them stop; both known by their medians."""
    gates, confident = PerUnitGates(always=["unit1"]), Confidence("margin")
    model = built(chain, gates, confident)
    images = toy_images(32)
    spread_exits(model, images)
    rng = np.random.default_rng(0)
    for name, gate in gates.gates.items():
        gate.kernel.assign(rng.normal(0, 0.3, gate.kernel.shape))
        gate.bias.assign([0.0, 0.0])
        chances = array(model.outcome(images).probabilities[name]).astype(np.float64)
        gate.bias.assign([0.0, -np.median(np.log(chances / (1 - chances)))])
    logits = np.sort(array(model.outcome(images).exits["exit1"]), axis=1)
    confident.set_thresholds([np.median(logits[:, -1] - logits[:, -2]), np.inf])
    return model


def test_names_are_in_order_of_execution(joined):
    assert list(joined.decider.names) == ["exit1", "unit2", "exit2", "unit3"]
    assert joined.decision_names == ["exit1", "unit2", "exit2", "unit3"]


def test_measures_are_those_of_whoever_decides(joined):
    decider = joined.decider
    assert [decider.confidence_of(name) for name in decider.names] == ["margin", None, "margin", None]
    assert decider.confidence_names == ("exit1", "exit2")


def test_each_decides_what_it_would_decide_alone(joined, toy_images):
    images = toy_images(32)
    gates, confident = joined.decider.deciders
    outcome = joined.outcome(images)
    alone = DynamicModel(joined.chain, gates).outcome(images)
    going = array(outcome.decisions["exit1"])
    assert going.mean() == 0.5
    np.testing.assert_array_equal(outcome.decisions["unit2"], going * array(alone.decisions["unit2"]))
    np.testing.assert_array_equal(outcome.decisions["unit3"], going * array(alone.decisions["unit3"]))
    np.testing.assert_array_equal(going, DynamicModel(joined.chain, confident).outcome(images).decisions["exit1"])
    np.testing.assert_array_equal(np.where(going[:, None] > 0, alone.logits, outcome.exits["exit1"]), outcome.logits)


def test_cost_is_that_of_all(joined, chain):
    """Over a chain without decisions: one gate per unit, none for the exits."""
    gates, _ = joined.decider.deciders
    plain = DynamicModel(chain)
    plain.build((None, 8, 8, 3))
    gate = 4 * 16 + 16
    assert joined.cost_tree.total_macs == plain.cost_tree.total_macs + 2 * gate
    assert [node.total_macs for k in range(3) for node in joined.decider.unit_nodes(k)] == [gate, gate]
    assert gates.exit_nodes("exit1") == joined.decider.exit_nodes("exit1") == []


class Counts(Decider):
    """Goes on behind every exit, and counts in its carry what it was asked."""

    def choose(self, chain):
        return []

    def begin(self, image, x, training=None):
        return {"asked": 0}

    def decide(self, k, x, carry, training=None):
        return {}, {}, {"asked": carry["asked"] + 1}

    def decide_exit(self, name, logits, x, carry, training=None):
        return {}, {}, {"asked": carry["asked"] + 10}


def test_each_has_a_carry_of_its_own(chain):
    model = built(chain, Counts(), FirstK(2), Patience())
    decider = model.decider
    carry = decider.begin(None, None)
    _, _, carry = decider.decide(0, None, carry)
    logits = np.float32([[1, 0, 0], [0, 1, 0]])
    _, _, carry = decider.decide_exit("exit1", logits, None, carry)
    assert carry[:2] == ({"asked": 11}, ())
    decided, _, carry = decider.decide_exit("exit2", logits[[0, 0]], None, carry)
    assert array(decided["exit2"]).tolist() == [False, True]
    assert array(carry[2][1]).tolist() == [2, 1]
    assert decider.decide(2, None, carry)[0] == {"unit3": False}


def test_locked_groups_and_an_exit(toy_images):
    early = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")
    model = built(grouped_chain(exits=[early]), ChannelGates(locked={"both": ["unit1", "unit2"]}), Confidence())
    locked = [name for name in model.decision_names if name.startswith("both[")]
    assert model.decision_names[: len(locked) + 1] == [*locked, "early"]
    assert model.decider.decision_of("unit2[1]") == "both[1]"
    outcome = model.outcome(toy_images(2))
    assert list(outcome.decisions) == model.decision_names


def test_a_saved_model_decides_as_before(joined, toy_images, tmp_path):
    joined.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [type(each) for each in loaded.decider.deciders] == [PerUnitGates, Confidence]
    keras.tree.map_structure(
        np.testing.assert_array_equal,
        loaded.outcome(toy_images(32)).decisions,
        joined.outcome(toy_images(32)).decisions,
    )


def test_it_samples_and_learns_in_training(chain, toy_images):
    model = built(chain, PerUnitGates(open_probability=0.5, seed=0), Confidence())
    assert len(model.decider.trainable_variables) == 3 * 5
    outcome = model.outcome(np.repeat(toy_images(1), 100, axis=0), training=True)
    assert 0.3 < array(outcome.decisions["unit1"]).mean() < 0.7


def test_two_that_decide_the_same_are_an_error(chain):
    with pytest.raises(ValueError, match=r"one decider decides a unit or exit, got \['exit1', 'exit2'\] decided by"):
        built(chain, PerUnitGates(), Confidence(), Patience())


@pytest.mark.parametrize("deciders", [[], [Confidence, Patience()], ["Confidence"], Confidence()])
def test_it_takes_deciders(deciders):
    with pytest.raises(ValueError, match="CombinedDecider takes a list of one decider or more, got "):
        CombinedDecider(deciders)


def test_units_cannot_be_taken_from_it(joined, chain):
    with pytest.raises(ValueError, match="CombinedDecider"):
        joined.decider.restricted_to(chain)


def test_a_policy_that_carries_its_state_and_exits(chain, toy_images):
    model = built(chain, SequentialPolicy(), Confidence())
    alone = DynamicModel(chain, model.decider.deciders[0])
    outcome = model.outcome(toy_images(8))
    for name in ("unit1", "unit2", "unit3"):
        np.testing.assert_array_equal(outcome.decisions[name], alone.outcome(toy_images(8)).decisions[name])
