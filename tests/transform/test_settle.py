"""Decisions that nearly all images share, frozen: the rest as before, without the gates that nobody needs."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import lite
from keras_dynamic.deciders import ChannelGates, CombinedDecider, FirstK, PerUnitGates, Stochastic
from keras_dynamic.evaluation import evaluate, greedy_patterns, static_twin
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.lite import benchmark
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import cascade
from keras_dynamic.transform import freeze_decisions, init_gates_by_importance, prune_dead_units
from tests.layers.grouped import GATE, GROUP, HEAD, STEM, as_numpy, body, chain, enliven, spread

NAMES = [f"unit{u}[{k}]" for u in (1, 2) for k in (1, 2, 3)]
WHOLE = STEM + 8 * GROUP + HEAD


def gated(images, made=None, **arguments):
    model = DynamicModel(made or chain(), ChannelGates(**arguments), name="gated")
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    return spread(model, images)


def say(model, images, exceptions):
    """Sets biases, unit by unit, so that decisions run for all images but so many, half of them by default."""
    for unit, gate in model.decider.gates.items():
        count = gate.groups or 1
        names = [f"{unit}[{k}]" for k in range(1, count + 1)] if gate.groups else [unit]
        chances = as_numpy(model.outcome(images, training=False).probabilities)
        variable = gate.bias if gate.memory is None else gate.last_bias
        bias = keras.ops.convert_to_numpy(variable).copy()
        for k, name in enumerate(names):
            odds = np.log(chances[name].astype(float)) - np.log1p(-chances[name].astype(float))
            edges = np.concatenate([[odds.min() - 2], np.sort(odds), [odds.max() + 2]])
            few = exceptions.get(name, len(images) // 2)
            bias[count + k] -= (edges[few] + edges[few + 1]) / 2
        variable.assign(bias)
    return model


def rates(model, images):
    return evaluate(model, images, np.zeros(len(images), int)).figures()["activation_rates"]


@pytest.fixture
def images(toy_images):
    return toy_images(40)


def test_what_nearly_all_share_is_shared_by_all(images, tmp_path):
    """Of unit1 two groups are for all but one of 40 images, or for one alone; the third, and unit2's, for half."""
    model = say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39})
    before = rates(model, images)
    assert [before[name] for name in NAMES[:3]] == pytest.approx([0.975, 0.025, 0.5])
    frozen = freeze_decisions(model, images, tolerance=0.03)
    assert frozen.decider.frozen == {"unit1[1]": True, "unit1[2]": False}
    assert frozen.decision_names == NAMES
    after = rates(frozen, images)
    assert [after[name] for name in NAMES[:3]] == pytest.approx([1.0, 0.0, 0.5])
    found, old = frozen.outcome(images), as_numpy(model.outcome(images).decisions)
    alike = (old["unit1[1]"] == 1) & (old["unit1[2]"] == 0)
    assert 37 < alike.sum() < 40
    np.testing.assert_allclose(found.logits[alike], model(images)[alike], atol=1e-5)
    given = {**as_numpy(found.decisions), "unit1[1]": np.ones(40), "unit1[2]": np.zeros(40)}
    np.testing.assert_allclose(found.logits, model.outcome(images, given).logits, atol=1e-5)
    assert (model.decider.frozen, rates(model, images)) == ({}, before)
    frozen.save(tmp_path / "frozen.keras")
    loaded = keras.models.load_model(tmp_path / "frozen.keras")
    np.testing.assert_array_equal(loaded(images), frozen(images))
    assert loaded.decider.frozen == frozen.decider.frozen


def test_a_gate_that_has_nothing_left_to_decide_is_gone(images):
    model = say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39, "unit1[3]": 2})
    frozen = freeze_decisions(model, images, tolerance=0.06)
    assert list(frozen.decider.gates) == ["unit2"]
    assert frozen.cost_tree.total_macs == WHOLE + GATE == model.cost_tree.total_macs - GATE
    again = freeze_decisions(say(frozen, images, {f"unit2[{k}]": 0 for k in (1, 2, 3)}), images)
    assert again.decider.frozen == {**frozen.decider.frozen, "unit2[1]": True, "unit2[2]": True, "unit2[3]": True}
    assert (again.decider.gates, again.cost_tree.total_macs) == ({}, WHOLE)
    assert evaluate(again, images, np.zeros(40, int)).macs.tolist() == [WHOLE - GROUP] * 40
    frozen.decider.set_tau(1.0)
    assert rates(frozen, images)["unit1[1]"] == 1.0  # what is frozen has no threshold


@pytest.mark.ci
def test_in_a_file_what_is_settled_is_no_if(images):
    model = freeze_decisions(say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39}), images, tolerance=0.03)
    exported = lite.export(model, outputs=("logits", "decisions", "macs"), fold="never")
    found = lite.verify(exported)
    assert found.decisions == ("unit1[3]", *NAMES[3:])
    assert (found.conditionals, found.macs_all_on) == (4, WHOLE + 2 * GATE - 2 * 16 - GROUP)  # of a gate, one logit
    runner, outcome = lite.Interpreter(exported), model.outcome(images)
    for image, logits in zip(images[:10], keras.ops.convert_to_numpy(outcome.logits), strict=False):
        np.testing.assert_allclose(runner.run(image)["logits"][0], logits, atol=1e-4)
    graph = lite.flatbuffer.load(exported)
    names = [lite.flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("CONV_2D") == 1 + 2 * 2  # what always runs of a unit is one path


@pytest.mark.ci
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.ci), 2])
@pytest.mark.parametrize("memory", [None, pytest.param(5, marks=pytest.mark.ci)])
def test_int8_takes_gates_of_which_part_is_settled(count, memory, images):
    model = say(gated(images, memory=memory), images, {f"unit1[{k}]": 39 * (k % 2) for k in range(1, count + 1)})
    frozen = freeze_decisions(model, images, tolerance=0.03)
    assert len(frozen.decider.frozen) == count
    exported = lite.export(frozen, "int8", images, outputs=("logits", "decisions", "macs"), fold="never")
    found = lite.verify(exported)
    assert (found.conditionals, found.decisions) == (6 - count, (*NAMES[count:3], *NAMES[3:]))
    assert found.macs_all_on == frozen.cost_tree.total_macs - GROUP  # the first is off for all
    runner, decisions = lite.Interpreter(exported), as_numpy(frozen.outcome(images).decisions)
    told = np.concatenate([runner.run(image)["decisions"] for image in images])
    assert (told == np.stack([decisions[name] for name in found.decisions], axis=1)).mean() > 0.85


def test_the_yardstick_lacks_what_is_off_for_all(images):
    model = freeze_decisions(
        say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39, "unit1[3]": 40}), images, tolerance=0.03
    )
    all_on = benchmark.all_on_of(model)
    assert lite.verify(all_on).macs_all_on == WHOLE - 2 * GROUP
    joined = DynamicModel(model.chain, CombinedDecider([model.decider]))
    joined.build((None, 8, 8, 3))
    assert benchmark.all_on_of(joined) == all_on


def test_whole_units(toy_chain, images):
    model = DynamicModel(toy_chain(), PerUnitGates(open_probability=0.5), name="units")
    model.build((None, 8, 8, 3))
    model = say(model, images, {"unit1": 1, "unit2": 39})
    frozen = freeze_decisions(model, images, tolerance=0.03)
    assert frozen.decider.frozen == {"unit1": True, "unit2": False}
    assert list(frozen.decider.gates) == ["unit3"]
    pruned = prune_dead_units(frozen, images)
    assert ([unit.name for unit in pruned.chain.units], pruned.decider.frozen) == (["unit1", "unit3"], {"unit1": True})
    np.testing.assert_allclose(pruned(images), frozen(images), atol=1e-5)


def test_units_that_leave_their_shortcut_can_be_pruned_too(images):
    def block(filters, stride):
        return [layers.Conv2D(filters, 3, stride, padding="same"), layers.ReLU(), layers.Conv2D(filters, 1)]

    units = [
        Residual(block(4, 1), activation="relu", name="unit1"),
        Residual(block(8, 2), layers.Conv2D(8, 1, 2), "relu", name="unit2"),
        Residual(block(8, 1), activation="relu", name="unit3"),
    ]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    model = DynamicModel(Chain([layers.Rescaling(1 / 255), layers.Conv2D(4, 3)], units, head), PerUnitGates())
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    for name, odds in (("unit1", 5.0), ("unit2", -5.0), ("unit3", 5.0)):
        gate = model.decider.gates[name]
        gate.kernel.assign(np.zeros(gate.kernel.shape))
        gate.bias.assign([0.0, odds])
    frozen = freeze_decisions(model, images)
    assert frozen.decider.frozen == {"unit1": True, "unit2": False, "unit3": True}
    pruned = prune_dead_units(frozen, images)
    assert ([unit.name for unit in pruned.chain.units], pruned.decider.frozen) == (
        ["unit1", "unit2", "unit3"],
        {"unit1": True, "unit3": True},
    )
    np.testing.assert_allclose(pruned(images), frozen(images), atol=1e-4)


@pytest.mark.ci
def test_in_a_cascade_the_twin_leaves_what_is_settled(images):
    inner = freeze_decisions(say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39}), images, tolerance=0.03)
    first = DynamicModel(chain(1), name="first")
    first.build((None, 8, 8, 3))
    model = cascade([first, inner])
    model.build((None, 8, 8, 3))
    pair = (images, np.arange(40) % 3)
    macs = evaluate(model, *pair).macs.mean()
    (below, _), (above, _) = static_twin(model, pair, pair, macs).points
    assert above - below == WHOLE - GROUP + 2 * GATE - 2 * 16  # the gates inside are paid for
    with pytest.raises(ValueError, match="hold dynamic networks, as in a cascade; freeze these before they"):
        freeze_decisions(DynamicModel(model.chain, PerUnitGates()), images)


@pytest.mark.parametrize("fold", ["auto", "never"])
def test_where_nothing_is_left_to_decide_groups_need_not_add_up(fold, images):
    ends = body(input_granularity=4, output_granularity=4)
    ends.contract.add(layers.ReLU())
    made = chain(1)
    made = Chain(made.stem, [Residual(ends, None, "relu", name="unit1")], made.head)
    frozen = {"unit1[1]": False, "unit1[2]": True, "unit1[3]": False}
    model = DynamicModel(made, ChannelGates(frozen=frozen, open_probability=0.5))
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    with pytest.warns(UserWarning, match="for 2 of its groups of channels, whose MACs always count: input and output"):
        exported = lite.export(model, fold=fold)
    logits = [lite.Interpreter(exported).run(image)["logits"][0] for image in images[:6]]
    np.testing.assert_allclose(logits, model(images[:6]), atol=1e-4)


def test_locked_groups_are_settled_for_all_their_units(images):
    model = gated(images, locked={"both": ["unit1", "unit2"]})
    gate = model.decider.gates["unit1"]
    bias = keras.ops.convert_to_numpy(gate.bias).copy()
    gate.bias.assign([*bias[:3], 30.0, -30.0, bias[5]])
    frozen = freeze_decisions(model, images)
    assert frozen.decider.frozen == {"both[1]": True, "both[2]": False}
    np.testing.assert_allclose(frozen(images), model(images), atol=1e-5)
    free = DynamicModel(chain(), ChannelGates(data_dependent=False, open_probability=0.9))
    free.build((None, 8, 8, 3))
    alike = freeze_decisions(free, None)
    assert alike.decider.frozen == dict.fromkeys(NAMES, True)
    np.testing.assert_allclose(alike(images), free(images), atol=1e-5)


def test_samples_leave_it_alone(images):
    frozen = freeze_decisions(say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39}), images, tolerance=0.03)
    sampled = DynamicModel(frozen.chain, Stochastic(frozen.decider, seed=0))
    assert sampled.decider.constants == frozen.decider.frozen
    assert rates(sampled, images)["unit1[1]"] == 1.0
    assert rates(sampled, images)["unit1[2]"] == 0.0


@pytest.mark.ci
def test_the_static_twin_leaves_what_is_settled(images):
    frozen = freeze_decisions(say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39}), images, tolerance=0.03)
    patterns = list(greedy_patterns(frozen, (images, np.arange(40) % 3)))
    assert [sum(pattern.values()) for pattern in patterns] == [5, 4, 3, 2, 1]
    assert {(pattern["unit1[1]"], pattern["unit1[2]"]) for pattern in patterns} == {(1, 0)}
    assert list(patterns[0]) == NAMES


@pytest.mark.ci
def test_it_can_be_trained_on(images):
    frozen = freeze_decisions(say(gated(images), images, {"unit1[1]": 1, "unit1[2]": 39}), images, tolerance=0.03)
    model = ActivationGating(frozen.chain, frozen.decider, target=0.5, activation_loss="macs")
    before = keras.ops.convert_to_numpy(model.decider.gates["unit1"].kernel)
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(images, np.arange(40) % 3, batch_size=20, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert np.abs(keras.ops.convert_to_numpy(model.decider.gates["unit1"].kernel) - before).max() > 0
    after = rates(model, images)
    assert (after["unit1[1]"], after["unit1[2]"]) == (1.0, 0.0)


def test_what_cannot_be_is_an_error(toy_chain, images):
    with pytest.raises(
        ValueError, match="freeze_decisions takes a model with PerUnitGates or ChannelGates, got FirstK"
    ):
        freeze_decisions(DynamicModel(toy_chain(), FirstK(1)), images)
    with pytest.raises(
        ValueError, match="freeze_decisions takes a model with PerUnitGates or ChannelGates, got Sequential"
    ):
        freeze_decisions(keras.Sequential(), images)
    with pytest.raises(ValueError, match="model 'new' is not built"):
        freeze_decisions(DynamicModel(chain(), ChannelGates(), name="new"), images)
    with pytest.raises(ValueError, match="tolerance must be a share of the images under one half"):
        freeze_decisions(gated(images), images, tolerance=0.5)
    with pytest.raises(ValueError, match="evaluated on images, got none"):
        freeze_decisions(gated(images), None)
    with pytest.raises(ValueError, match=r"frozen names 'unit1\[4\]', which is not decided here .*decisions are \["):
        DynamicModel(chain(), ChannelGates(frozen={"unit1[4]": True})).build((None, 8, 8, 3))
    for wrong in (["unit1[1]"], {"unit1[1]": "False"}):
        with pytest.raises(ValueError, match=r"frozen must be \{name of a decision: True or False\}, got"):
            ChannelGates(frozen=wrong)
    frozen = freeze_decisions(say(gated(images), images, {"unit1[1]": 1}), images, tolerance=np.float32(0.03))
    with pytest.raises(
        ValueError, match=r"init_gates_by_importance sets untrained gates, got .* with 1 that are frozen"
    ):
        init_gates_by_importance(frozen, [(images, np.zeros(40, int))])


def test_where_there_is_nothing_to_settle_a_warning_says_so(images):
    model = gated(images)
    with pytest.warns(UserWarning, match="none of the 6 decisions of 'gated' is the same for all images but 2%; raise"):
        frozen = freeze_decisions(model, images)
    np.testing.assert_allclose(frozen(images), model(images), atol=1e-5)
