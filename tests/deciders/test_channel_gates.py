"""Gates on channel groups: a decision for each group that is not forced."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import ChannelGates, PerUnitGates, Stochastic
from keras_dynamic.evaluation import ensemble, stochastic
from keras_dynamic.layers import Chain, DynamicModel, Gate, Residual, StaticGate
from keras_dynamic.methods import ActivationGating
from tests.layers.grouped import GATE, GROUP, HEAD, STEM, WIDTH, as_numpy, body, chain, enliven, spread

NAMES = [f"unit{u}[{k}]" for u in (1, 2) for k in (1, 2, 3)]
CHANCES = {"unit1": (0.2, 0.6, 0.95), "unit2": (0.9, 0.1, 0.4)}
WHOLE = STEM + 8 * GROUP + HEAD


def model_of(made=None, **arguments):
    model = DynamicModel(made or chain(), ChannelGates(**arguments))
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    return model


def say(model, chances=CHANCES):
    """Makes gates say these probabilities, one for each group, of all images."""
    for name, of_groups in chances.items():
        gate = model.decider.gates[name]
        odds = [np.log(chance / (1 - chance)) for chance in of_groups]
        weights = gate.logits if isinstance(gate, StaticGate) else gate.bias
        weights.assign([0.0] * len(odds) + odds)
        if isinstance(gate, Gate):
            gate.kernel.assign(np.zeros(gate.kernel.shape))
    return model


@pytest.mark.parametrize("data_dependent", [True, False])
@pytest.mark.parametrize(
    ("tau", "running"),
    [
        (0.0, [1, 1, 1, 1, 1, 1]),
        (0.3, [0, 1, 1, 1, 0, 1]),
        (0.5, [0, 1, 1, 1, 0, 0]),
        (0.92, [0, 0, 1, 0, 0, 0]),
        (1.0, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_columns_are_groups_in_order(data_dependent, tau, running, toy_images):
    model = say(model_of(data_dependent=data_dependent))
    model.decider.set_tau(tau)
    outcome = model.outcome(toy_images(2))
    assert list(outcome.decisions) == list(outcome.probabilities) == model.decision_names == NAMES
    assert [value.tolist() for value in as_numpy(outcome.decisions).values()] == [[run, run] for run in running]
    for name, chance in zip(NAMES, [*CHANCES["unit1"], *CHANCES["unit2"]], strict=True):
        np.testing.assert_allclose(outcome.probabilities[name], [chance, chance], rtol=1e-4)
    gates = 2 * GATE if data_dependent else 0
    off = GROUP * running.count(0)
    np.testing.assert_allclose(outcome.cost, (WHOLE + gates - off) / (WHOLE + gates), rtol=1e-6)


def test_each_group_reads_the_image(toy_images):
    images = toy_images(40)
    decisions = as_numpy(spread(model_of(), images).outcome(images).decisions)
    assert all(value.mean() == 0.5 for value in decisions.values())
    assert len({tuple(value) for value in decisions.values()}) > 3


def test_gates_cost_what_they_do():
    model = model_of(hidden=16)
    assert model.cost_tree.total_macs == WHOLE + 2 * GATE
    assert model_of(hidden=5).cost_tree.total_macs == WHOLE + 2 * (8 * 5 + 5 * 3)
    free = model_of(data_dependent=False)
    assert free.cost_tree.total_macs == WHOLE
    assert [gate.logits.shape for gate in free.decider.gates.values()] == [(6,), (6,)]


def test_an_untrained_gate_opens_with_its_probability(toy_images):
    for data_dependent in (True, False):
        model = model_of(data_dependent=data_dependent, open_probability=0.7)
        for gate in model.decider.gates.values():
            if data_dependent:
                gate.kernel.assign(np.zeros(gate.kernel.shape))
        for value in model.outcome(toy_images(3)).probabilities.values():
            np.testing.assert_allclose(value, 0.7, rtol=1e-5)


def test_in_training_groups_run_with_their_probabilities(toy_images):
    model = say(model_of(seed=0))
    outcome = model.outcome(np.repeat(toy_images(1), 600, axis=0), training=True)
    for name, chance in zip(NAMES, [*CHANCES["unit1"], *CHANCES["unit2"]], strict=True):
        decisions = keras.ops.convert_to_numpy(outcome.decisions[name])
        assert set(np.unique(decisions)) <= {0.0, 1.0}
        assert decisions.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 600))


def test_units_that_always_run_have_no_gate(toy_images):
    model = model_of(always=("unit1",))
    assert model.decision_names == NAMES[3:] == list(model.outcome(toy_images()).decisions)
    assert list(model.decider.gates) == ["unit2"]
    assert model.cost_tree.total_macs == WHOLE + GATE
    with pytest.raises(
        ValueError, match=r"'unit4', which is not there .*; units that can be decided are \['unit1', 'unit2'\]"
    ):
        model_of(always=("unit4",))


def test_a_chain_without_groups_is_an_error(toy_chain):
    message = "ChannelGates needs units with channel groups that `always` does not name, got none"
    with pytest.raises(ValueError, match=f"{message}; give units Channel"):
        model_of(toy_chain())
    with pytest.raises(ValueError, match=message):
        model_of(always=("unit1", "unit2"))


def test_groups_that_are_all_forced_are_an_error():
    message = (
        "groups of channels that are not forced, got none: 'unit1' has 4 groups of 4 filters, 4 forced; take fewer"
    )
    with pytest.raises(ValueError, match=message):
        model_of(Chain([layers.Conv2D(WIDTH, 1)], [Residual(body(forced=4), name="unit1")], [layers.Flatten()]))


def test_a_unit_that_cannot_be_skipped_may_be_named_in_always():
    class Fixed(Residual):
        skippable = False

    made = chain()
    units = [Fixed(made.units[0].body, None, "relu", name="unit1"), made.units[1]]
    model = model_of(Chain(made.stem, units, made.head), always=["unit1"])
    assert model.decision_names == NAMES[3:]
    plain = Chain([layers.Conv2D(WIDTH, 1), layers.ReLU()], [layers.ReLU(name="bend"), units[1]], [layers.Flatten()])
    with pytest.raises(ValueError, match="always names unit 'bend', which always runs as it is; units that can be dec"):
        model_of(plain, always=["bend"])
    with pytest.raises(ValueError, match=r"always must be a list of names of units, got 'unit1'; give \['unit1'\]"):
        model_of(always="unit1")


def test_gates_on_units_see_units_with_groups_as_a_whole(toy_images):
    model = DynamicModel(chain(), PerUnitGates())
    model.build((None, 8, 8, 3))
    assert model.decision_names == ["unit1", "unit2"]
    cost = model.outcome(toy_images(1), {"unit1": [0.0], "unit2": [1.0]}).cost
    total = WHOLE + 2 * (8 * 16 + 16)
    np.testing.assert_allclose(cost, (total - 4 * GROUP) / total, rtol=1e-6)


def test_saving_and_loading_in_a_fresh_process(toy_images, fresh_process):
    images = toy_images(20)
    model = spread(model_of(seed=4, always=("unit1",)), images)
    model.decider.set_tau(0.45)
    for training in (False, True):
        found = fresh_process(model, images, training)
        outcome = model.outcome(images, training=training)
        for name, value in outcome.decisions.items():
            np.testing.assert_array_equal(found[f"decisions {name}"], value)
        np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
        np.testing.assert_allclose(found["cost"], outcome.cost, rtol=1e-6)


def test_gates_of_a_chain_with_fewer_units(toy_images):
    model = spread(model_of(), toy_images(20))
    fewer = Chain(model.chain.stem, model.chain.units[:1], model.chain.head)
    fewer.build((None, 8, 8, 3))
    decider = model.decider.restricted_to(fewer)
    assert list(decider.names) == NAMES[:3]
    expected, found = model.outcome(toy_images(20)), DynamicModel(fewer, decider).outcome(toy_images(20))
    for name in NAMES[:3]:
        np.testing.assert_array_equal(found.decisions[name], expected.decisions[name])


def test_stochastic_samples_each_group(toy_images):
    model = say(model_of(data_dependent=False))
    sampled = DynamicModel(model.chain, Stochastic(model.decider, seed=0))
    outcome = sampled.outcome(np.repeat(toy_images(1), 600, axis=0), training=False)
    assert sampled.cost_tree == model.cost_tree
    for name, chance in zip(NAMES, [*CHANCES["unit1"], *CHANCES["unit2"]], strict=True):
        assert np.mean(outcome.decisions[name]) == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 600))


def test_ensembles(toy_images):
    model = ActivationGating(chain(), ChannelGates(data_dependent=False, open_probability=0.5))
    model.build((None, 8, 8, 3))
    logits, cost = stochastic(model, toy_images(30), runs=3)
    assert logits.shape == (3, 30, 3)
    groups = (cost * WHOLE - (STEM + 2 * GROUP + HEAD)) / GROUP
    np.testing.assert_allclose(groups, groups.round(), atol=1e-2)
    assert groups.mean() == pytest.approx(3, abs=4 * np.sqrt(6 * 0.25 / 90))
    probabilities, spent = ensemble(model, toy_images(30), runs=3)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(spent, cost.sum(axis=0), rtol=1e-6)


def test_a_target_for_each_group():
    target = dict.fromkeys(NAMES, 0.5) | {"unit1[1]": 1.0}
    model = ActivationGating(chain(), ChannelGates(), target=target, activation_loss="per_gate")
    model.build((None, 8, 8, 3))
    np.testing.assert_allclose(model.current_target, [1.0, 0.5, 0.5, 0.5, 0.5, 0.5])


LOCKED = {"both": ("unit1", "unit2")}


def test_a_locked_gate_decides_for_all_its_units(toy_images):
    images = toy_images(40)
    model = spread(model_of(locked=LOCKED), images)
    assert model.decision_names == ["both[1]", "both[2]", "both[3]"]
    assert list(model.decider.gates) == ["unit1"]
    assert model.cost_tree.total_macs == WHOLE + GATE
    outcome = model.outcome(images)
    decisions = as_numpy(outcome.decisions)
    assert list(decisions) == list(outcome.probabilities) == model.decision_names
    assert all(value.mean() == 0.5 for value in decisions.values())
    apart = model_of()
    apart.set_weights([*model.chain.get_weights(), *apart.decider.get_weights()])
    each = {f"unit{u}[{k}]": decisions[f"both[{k}]"] for u in (1, 2) for k in (1, 2, 3)}
    np.testing.assert_allclose(outcome.logits, apart.outcome(images, each).logits, atol=1e-5)
    np.testing.assert_allclose(model.outcome(images, decisions).logits, outcome.logits, atol=1e-5)
    on = 2 + 2 * sum(decisions.values())
    np.testing.assert_allclose(outcome.cost, (STEM + on * GROUP + HEAD + GATE) / (WHOLE + GATE), rtol=1e-6)


def test_a_locked_gate_is_sampled_once(toy_images):
    model = model_of(locked=LOCKED, data_dependent=False, open_probability=0.5, seed=0)
    fractions = keras.ops.convert_to_numpy(model.outcome(toy_images(60), training=True).cost)
    on = (fractions * WHOLE - STEM - HEAD - 2 * GROUP) / (2 * GROUP)
    np.testing.assert_allclose(on, on.round(), atol=1e-2)  # both units of an image take the same groups
    assert set(on.round()) == {0, 1, 2, 3}
    sampled = DynamicModel(model.chain, Stochastic(model.decider, seed=0))
    assert list(sampled.outcome(toy_images(5)).decisions) == ["both[1]", "both[2]", "both[3]"]


def test_locked_gates_survive_saving(toy_images, fresh_process):
    model = spread(model_of(locked=LOCKED, seed=1), toy_images(20))
    found, outcome = fresh_process(model, toy_images(20), False), model.outcome(toy_images(20))
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
    np.testing.assert_array_equal(found["decisions both[2]"], outcome.decisions["both[2]"])


@pytest.mark.parametrize(
    ("locked", "message"),
    [
        ([["unit1", "unit2"]], "locked must be {name: two or more names of units}, got"),
        ({"both": "unit1"}, "locked must be {name: two or more names of units}, got"),
        ({"a[1]": ["unit1", "unit2"]}, r"locked needs names without '\[' for decisions, got 'a\[1\]'"),
        ({"both": 3}, "locked must be {name: two or more names of units}, got"),
        ({"both": ["unit1"]}, "locked must be {name: two or more names of units}, got"),
        ({"both": ["unit1", "unit1"]}, r"a unit is locked once, .* got \['unit1'\] more than once"),
        ({"both": ["unit1", "unit3"]}, r"locked\['both'\] names 'unit3', .*mean 'unit.'\?\); those are \['unit1'"),
        ({"unit1": ["unit1", "unit2"]}, "locked needs names of its own for decisions, got 'unit1', which is a unit's"),
    ],
)
def test_locks_name_units_with_groups(locked, message):
    with pytest.raises(ValueError, match=message):
        model_of(locked=locked)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (body(granularity=8), "2 groups of 8 filters, 1 forced"),
        (body(forced=2), "4 groups of 4 filters, 2 forced"),
    ],
    ids=["granularity", "forced"],
)
def test_locked_units_have_one_width(other, found):
    made = chain()
    made = Chain(made.stem, [made.units[0], Residual(other, name="wide")], made.head)
    message = f"must have the same groups, got 'unit1' with 4 groups of 4 filters, 1 forced and 'wide' with {found}"
    with pytest.raises(ValueError, match=message):
        model_of(made, locked={"both": ["unit1", "wide"]})


def test_with_memory_a_gate_hears_the_others(toy_images, fresh_process):
    """What is said of the last group changes with what the gate is about to say of the first."""
    images = toy_images(20)
    model = spread(model_of(memory=5, seed=0), images)
    assert model.cost_tree.total_macs == WHOLE + 2 * (GATE + 2 * 3 * 5)
    before = as_numpy(model.outcome(images).probabilities)["unit1[3]"]
    found = fresh_process(model, images, False)
    np.testing.assert_allclose(found["logits"], model.outcome(images).logits, atol=1e-5)
    gate = model.decider.gates["unit1"]
    gate.bias.assign(keras.ops.convert_to_numpy(gate.bias) + [0, 0, 0, 3, 0, 0])
    assert np.abs(as_numpy(model.outcome(images).probabilities)["unit1[3]"] - before).max() > 1e-2


def test_memory_needs_gates_that_look(toy_images):
    with pytest.raises(ValueError, match="memory needs gates that read images, got memory=4 with data_dependent="):
        model_of(memory=4, data_dependent=False)
    with pytest.raises(ValueError, match="memory must be the width of a hidden layer, a positive int, or None, got 0"):
        model_of(memory=0)
