"""Units that are decided as wholes and by groups: the groups count where the unit runs, in every reading."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.deciders import ChannelGates, CombinedDecider, Pattern, PerUnitGates
from keras_dynamic.evaluation import greedy_patterns, pattern_macs
from keras_dynamic.layers import Chain, Decider, DynamicModel, Residual
from keras_dynamic.serving import compact
from keras_dynamic.transform import freeze_decisions, strip_gates
from tests.layers.grouped import GATE, GROUP, HEAD, STEM, WIDTH, as_numpy, body, chain, enliven, guarded

WHOLE_GATE = 4 * WIDTH + 4  # MACs: a hidden layer of 4
GROUPS_GATE, GATE_OF_ONE = 4 * WIDTH + 4 * 3, 4 * WIDTH + 4
NAMES = [f"unit{u}{label}" for u in (1, 2) for label in ("", "[1]", "[2]", "[3]")]


class Both(Decider):
    """Decides each unit and its groups by the same numbers for all images, groups first."""

    def __init__(self, values, **kwargs):
        super().__init__(**kwargs)
        self.values = values

    def choose(self, chain):
        return sorted(self.values, reverse=True)

    def decide(self, k, x, carry, training=None):
        own = [name for name in self.values if name.partition("[")[0] == self.unit_names[k]]
        decided = {name: keras.ops.full((len(x),), self.values[name]) for name in own}
        return decided, decided, carry


def built(decider, made=None):
    model = DynamicModel(made or chain(), decider)
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    return model


def test_a_skipped_unit_leaves_its_groups_out(toy_images):
    images = toy_images(4)
    model = built(Both({"unit1": 0.0, "unit1[1]": 1.0, "unit1[2]": 1.0, "unit1[3]": 1.0}))
    outcome, chained = model.outcome(images), model.chain
    x = chained.stem(images)
    np.testing.assert_allclose(outcome.logits, chained.head(chained.units[1](x)), atol=1e-5)
    assert all(not value.any() for value in as_numpy(outcome.decisions).values())
    assert model.decider.within == {f"unit1[{k}]": "unit1" for k in (3, 2, 1)}
    whole = STEM + 8 * GROUP + HEAD
    np.testing.assert_allclose(outcome.cost, (whole - 4 * GROUP) / whole, rtol=1e-6)


@pytest.mark.parametrize("mask", ["product", "convex"])
def test_soft_decisions_multiply_once(mask, toy_images, gradient):
    images, made = toy_images(2), chain(1)
    made = Chain(made.stem, [Residual(body(), None, "relu", mask, name="unit1")], made.head)
    model = built(Both({"unit1": 0.5, "unit1[1]": 0.25, "unit1[2]": 1.0, "unit1[3]": 0.0}), made)
    outcome, x = model.outcome(images), made.stem(images)
    added = made.units[0].body(x, decisions=[np.float32(part) for part in (0.25, 1, 0)])
    run, skip = np.maximum(x + added, 0), np.maximum(x, 0)
    y = np.maximum(x + added / 2, 0) if mask == "product" else (run + skip) / 2
    np.testing.assert_allclose(outcome.logits, made.head(y), atol=1e-5)
    decisions = {"unit1": 0.5, "unit1[1]": 0.125, "unit1[2]": 0.5, "unit1[3]": 0.0}
    assert {name: value[0] for name, value in as_numpy(outcome.decisions).items()} == decisions
    assert {name: value[0] for name, value in as_numpy(outcome.probabilities).items()} == decisions
    conditional = as_numpy(outcome.conditional)
    assert {name: value[0] for name, value in conditional.items()} == model.decider.values
    whole = STEM + 4 * GROUP + HEAD
    np.testing.assert_allclose(outcome.cost, (STEM + HEAD + 0.5 * (1 + 1.25) * GROUP) / whole, rtol=1e-6)
    for name, macs in {"unit1": 2.25 * GROUP, "unit1[1]": 0.5 * GROUP}.items():
        slope = gradient(
            lambda value, name=name: model.outcome(images, conditional | {name: value}).cost, conditional[name]
        )
        np.testing.assert_allclose(slope, macs / whole, rtol=1e-5)


def test_given_decisions(toy_images):
    images = toy_images(8)
    model = guarded(images)
    rng = np.random.default_rng(0)
    given = {name: rng.integers(0, 2, 8).astype("float32") for name in NAMES}
    outcome = model.outcome(images, given)
    runs = {unit: given[unit] * (1 + sum(given[f"{unit}[{k}]"] for k in (1, 2, 3))) for unit in ("unit1", "unit2")}
    gates = 2 * WHOLE_GATE + (given["unit1"] + given["unit2"]) * GROUPS_GATE
    macs = STEM + HEAD + gates + GROUP * (runs["unit1"] + runs["unit2"])
    np.testing.assert_array_equal(cost.given(model.cost_tree, given), macs)
    np.testing.assert_array_equal(cost.given(model.cost_tree, as_numpy(outcome.decisions)), macs)
    np.testing.assert_allclose(outcome.cost * model.cost_tree.total_macs, macs, rtol=1e-6)


def test_each_decider_decides_what_it_would_alone(toy_images):
    images = toy_images(32)
    model = guarded(images)
    assert model.decision_names == list(model.decider.names) == NAMES
    decisions = as_numpy(model.outcome(images).decisions)
    assert all(0 < value.mean() < 1 for value in decisions.values())
    alone = [as_numpy(DynamicModel(model.chain, each).outcome(images).decisions) for each in model.decider.deciders]
    np.testing.assert_array_equal(decisions["unit1"], alone[1]["unit1"])
    np.testing.assert_array_equal(decisions["unit1[2]"], alone[1]["unit1"] * alone[0]["unit1[2]"])
    assert GATE != GROUPS_GATE  # 16 hidden ones by default


def test_compact(toy_images):
    images = toy_images(32)
    model = guarded(images)
    masked, found = model.outcome(images), compact(model)(images)
    np.testing.assert_allclose(found.logits, masked.logits, atol=1e-4)
    keras.tree.map_structure(np.testing.assert_array_equal, found.decisions, masked.decisions)
    np.testing.assert_allclose(found.cost, masked.cost, rtol=1e-6)


def test_a_decision_that_several_units_obey_is_within_none(toy_images):
    images = toy_images(16)
    model = guarded(images, locked={"both": ["unit1", "unit2"]})
    assert model.decision_names == ["unit1", "both[1]", "both[2]", "both[3]", "unit2"]
    assert model.decider.within == {}
    wholes = as_numpy(model.outcome(images).decisions)
    given = {**wholes, "unit1": np.zeros(16), "unit2": np.ones(16), "both[1]": np.ones(16)}
    outcome = model.outcome(images, given)
    assert as_numpy(outcome.decisions)["both[1]"].all()  # unit2 obeys it
    groups = 1 + sum(given[f"both[{k}]"] for k in (1, 2, 3))
    fixed = STEM + HEAD + 2 * WHOLE_GATE + GROUPS_GATE
    np.testing.assert_array_equal(cost.given(model.cost_tree, given), fixed + groups * GROUP)
    np.testing.assert_allclose(compact(model)(images).logits, model.outcome(images).logits, atol=1e-4)


def test_the_static_twin_closes_groups_with_their_unit(toy_images):
    model = built(CombinedDecider([Pattern({"unit1": 1}), ChannelGates(always=["unit2"])]))
    patterns = list(greedy_patterns(model, (toy_images(8), np.arange(8) % 3)))
    last = next(k for k, pattern in enumerate(patterns) if not pattern["unit1"])
    assert not any(patterns[last].values())
    assert last == len(patterns) - 1
    assert pattern_macs(model, patterns[0]) == STEM + 8 * GROUP + HEAD
    assert pattern_macs(model, patterns[-1]) == STEM + 4 * GROUP + HEAD


def test_a_pattern_of_a_unit_and_its_groups(toy_images):
    model = built(Pattern({"unit1": 1, "unit1[1]": 0, "unit2": 0, "unit2[2]": 1}))
    outcome, whole = model.outcome(toy_images(2)), STEM + 8 * GROUP + HEAD
    assert {name: value[0] for name, value in as_numpy(outcome.decisions).items()} == {
        "unit1": 1.0,
        "unit1[1]": 0.0,
        "unit2": 0.0,
        "unit2[2]": 0.0,
    }
    np.testing.assert_allclose(outcome.cost, (whole - 5 * GROUP) / whole, rtol=1e-6)


def always_say(gate, *odds):
    """Sets what a gate says of all images, of each of its decisions."""
    variable = gate.bias
    gate.kernel.assign(0 * gate.kernel)
    variable.assign([0.0] * len(odds) + list(odds))


def test_settling_counts_images_that_run_the_unit(toy_images):
    """Half of the images run unit1, none unit2; of these unit1[1] runs for all, unit1[2] for none, unit1[3] varies."""
    images = toy_images(32)
    model = guarded(images)
    groups, wholes = model.decider.deciders
    always_say(wholes.gates["unit2"], -30)
    always_say(groups.gates["unit2"], 30, 30, -30)
    kernel, bias = groups.gates["unit1"].kernel, groups.gates["unit1"].bias
    kernel.assign(kernel * np.float32([0, 0, 1, 0, 0, 1]))
    bias.assign([0, 0, bias[2], 30, -30, bias[5]])
    before = model.outcome(images)
    assert np.mean(before.decisions["unit1[1]"]) == 0.5
    frozen = freeze_decisions(model, images)
    known = {
        "unit1[1]": True,
        "unit1[2]": False,
        "unit2": False,
        "unit2[1]": False,
        "unit2[2]": False,
        "unit2[3]": False,
    }
    assert frozen.decider.constants == {name: known[name] for name in frozen.decider.constants}
    assert len(frozen.decider.constants) == len(known)
    after = frozen.outcome(images)
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-5)
    gates = WHOLE_GATE + GATE_OF_ONE * np.asarray(after.decisions["unit1"])
    runs = np.asarray(after.decisions["unit1"]) * (2 + np.asarray(after.conditional["unit1[3]"]))
    macs = cost.given(frozen.cost_tree, as_numpy(after.decisions))
    np.testing.assert_array_equal(macs, STEM + HEAD + gates + GROUP * runs)


def test_polarised_wholes_and_groups_are_made_real(toy_images):
    images = toy_images(16)
    model = guarded(images)
    groups, wholes = model.decider.deciders
    with pytest.raises(ValueError, match=r"unit1 runs for 50\.0%"):
        strip_gates(model, images)
    for gates, odds in ((wholes, [(30,), (-30,)]), (groups, [(30, -30, 30), (30, 30, 30)])):
        for gate, own in zip(gates.gates.values(), odds, strict=True):
            always_say(gate, *own)
    smaller = strip_gates(model, images)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    assert smaller.cost_tree.total_macs == STEM + 3 * GROUP + HEAD


@pytest.mark.ci
def test_training_reaches_all_gates(toy_images):
    model = guarded(toy_images(16))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [variable.numpy().copy() for variable in model.decider.trainable_variables]
    model.fit(toy_images(16), np.arange(16) % 3, verbose=0)
    after = [variable.numpy() for variable in model.decider.trainable_variables]
    assert sum((old != new).any() for old, new in zip(before, after, strict=True)) > len(after) / 2


def test_a_saved_model_decides_as_before(toy_images, tmp_path):
    images = toy_images(16)
    model = guarded(images)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [type(each) for each in again.decider.deciders] == [ChannelGates, PerUnitGates]
    keras.tree.map_structure(np.testing.assert_array_equal, again.outcome(images), model.outcome(images))
