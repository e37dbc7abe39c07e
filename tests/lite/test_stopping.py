"""Exported models stop at exits where Keras does, and compute nothing behind them."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite
from keras_dynamic.evaluation.exits import exit_answers
from keras_dynamic.lite import benchmark as bench
from keras_dynamic.lite import metadata
from keras_dynamic.lite.metadata import macs_under
from keras_dynamic.transform import attach_exits, collaborate
from tests.layers import grouped


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def run(exported, images):
    runner = lite.Interpreter(exported)
    found = [runner.run(image) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


@pytest.fixture
def stopping(toy_chain, toy_images, spread_exits):
    """Function (decider) -> model of four units, each with an exit behind it."""

    def make(decider):
        keras.utils.set_random_seed(0)  # of the heads
        heads = [
            layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)], f"unit{k}", name=f"exit{k}")
            for k in range(1, 5)
        ]
        model = layers.DynamicModel(toy_chain(units=4, exits=heads), decider)
        model.build((None, 8, 8, 3))
        spread_exits(model, toy_images(64))
        return model

    return make


def test_answers_that_a_later_exit_reads_always_run(toy_chain, toy_images):
    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    exits = [
        layers.Exit(head(), "unit1", name="exit1"),
        layers.Exit(layers.Collaborative(keras.Sequential(head())), "unit2", name="exit2"),
    ]
    model = layers.DynamicModel(toy_chain(units=3, exits=exits), deciders.ExitGates((4,)))
    model.build((None, 8, 8, 3))
    agrees(model, toy_images(4))  # export holds the file's MACs against the cost tree's under all decisions


def agrees(model, images, **arguments):
    """Exports in float32 and holds answers, decisions and MACs against Keras; returns the decisions, [n, decisions]."""
    exported = lite.export(model, outputs=("logits", "decisions", "macs"), **arguments)
    found, outcome = run(exported, images), model.outcome(images)
    metadata = lite.read_metadata(exported)
    decisions = {name: array(value) for name, value in outcome.decisions.items()}
    np.testing.assert_allclose(found["logits"], array(outcome.logits), atol=1e-4)
    np.testing.assert_array_equal(found["decisions"], np.stack([decisions[n] for n in metadata["decisions"]], axis=1))
    np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))
    return found["decisions"]


def agrees_nearly(model, images, most):
    """Exports in int8, without any float, and says that few decisions are not Keras'; returns the decisions."""
    exported = lite.export(model, "int8", images, outputs=("logits", "decisions"))
    assert lite.verify(exported).quantize == "int8"
    names = lite.read_metadata(exported)["decisions"]
    outcome = model.outcome(images)
    found = run(exported, images)["decisions"]
    assert np.mean(found != np.stack([array(outcome.decisions[name]) for name in names], axis=1)) <= most
    return found


@pytest.mark.parametrize("patience", [2, pytest.param(3, marks=pytest.mark.ci)])
def test_patience(patience, stopping, toy_images):
    model = stopping(deciders.Patience(patience))
    rates = agrees(model, toy_images(32)).mean(axis=0)
    assert len(rates) == 5 - patience  # nobody can stop before
    assert 0 < rates[-1] < 1
    assert (np.diff(rates) <= 0).all()
    rates = agrees_nearly(model, toy_images(32), 0.15).mean(axis=0)
    assert 0 < rates[-1] < 1


def test_an_exit_that_nothing_reads_costs_who_stops(stopping, toy_images):
    model = stopping(deciders.ExitGates((4,)))
    head = 4 * 3
    table = lite.read_metadata(lite.export(model, outputs="macs"))["cost"]
    assert all(row["macs"] > 0 for row in table)
    assert [row for row in table if row["unless"]] == [
        {"macs": head, "when": [f"exit{k}" for k in range(1, exit_)], "unless": [f"exit{exit_}"]}
        for exit_ in range(1, 5)
    ]
    names = model.decision_names
    stopped = [dict(zip(names, [1] * k + [0] * (4 - k), strict=True)) for k in range(5)]
    found = [macs_under(table, each) for each in stopped]
    gate, unit = 64 * 9 * 4 * 4 + 2 * 2 * 4, 2 * 64 * 9 * 4 * 4
    assert found == [64 * 27 * 4 + min(k + 1, 4) * (unit + gate) + head for k in range(5)]
    rows = {node.name: node for node in model.cost_tree.children if node.name.startswith("exit")}
    parts = {name: metadata.cost_table(node) for name, node in rows.items()}
    assert macs_under(parts["exit2"], {"exit1": np.array([0, 1, 1]), "exit2": np.array([0, 0, 1])}).tolist() == [
        0,
        head,
        0,
    ]


def halve(gates, model, images):
    """Sets the gates of exits so that half of these images go on behind each of them, by what they see."""
    for name, gate in gates.gates.items():
        gates.set_tau(0.0)  # all reach it
        chances = array(model.outcome(images).probabilities[name]).astype(np.float64)
        last = gate.layers[-1]
        last.bias.assign(last.bias - np.median(np.log(chances / (1 - chances))))
    gates.set_tau(0.5)


@pytest.mark.ci
def test_gates_of_exits(stopping, toy_images):
    gates = deciders.ExitGates((6, 6))
    model = stopping(gates)
    halve(gates, model, toy_images(32))
    found = agrees(model, toy_images(32))
    assert found.mean(axis=0)[0] == 0.5
    agrees_nearly(model, toy_images(32), 0.1)


@pytest.fixture
def joined(stopping, toy_images, spread_gates):
    """Gates for units, confidence for exits, at each of which about a third of the images that reach it stop."""
    gates, confident = deciders.PerUnitGates(always=["unit1"]), deciders.Confidence()
    images = toy_images(64)
    model = stopping(deciders.CombinedDecider([gates, confident]))
    alone = layers.DynamicModel(model.chain, gates)
    spread_gates(alone, images)
    here, thresholds = np.ones(64, bool), []
    for logits in alone.outcome(images).exits.values():
        certain = np.exp(array(logits))
        certain = certain.max(axis=1) / certain.sum(axis=1)
        left = np.sort(certain[here])
        above = int(0.7 * len(left))
        thresholds.append(float(left[above - 1 : above + 1].mean()))  # between two: rounding changes no decision
        here &= certain < thresholds[-1]
    confident.set_thresholds(thresholds)
    return model


def test_gates_of_units_and_confidence_at_exits(joined, toy_images):
    rates = agrees(joined, toy_images(64)).mean(axis=0)
    assert ((rates > 0) & (rates < 1)).all()


def test_int8_sets_the_confidence_among_several_deciders_anew(joined, toy_images):
    images = toy_images(64)
    exported = lite.export(joined, "int8", images, outputs=("logits", "decisions"))
    shares = run(exported, images)["decisions"].mean(axis=0)
    outcome = joined.outcome(images)
    names = lite.read_metadata(exported)["decisions"]
    for name, share in zip(names, shares, strict=True):
        if name in joined.decider.confidence_names:
            assert share == pytest.approx(float(array(outcome.decisions[name]).mean()), abs=0.05)


@pytest.mark.ci
@pytest.mark.parametrize("int8", [pytest.param(False, marks=pytest.mark.ci), True], ids=["float32", "int8"])
def test_patience_on_micro(int8, stopping, toy_images):
    pytest.importorskip("tflite_micro")
    images = toy_images(16)
    exported = lite.export(stopping(deciders.Patience(3)), "int8" if int8 else None, images, outputs="decisions")
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported, kernels="builtin")
    for image in images:
        np.testing.assert_array_equal(micro.run(image)["decisions"], litert.run(image)["decisions"])


def test_the_answers_of_all_exits_are_outputs_of_a_network_that_never_stops(stopping, toy_images):
    images = toy_images(6)
    model = layers.DynamicModel(stopping(deciders.Confidence()).chain)
    exported = lite.export(model, outputs="exits")  # with exits, the MACs in the file are those of the cost tree, too
    found, outcome = run(exported, images), model.outcome(images)
    assert set(found) == {"logits", "exit1", "exit2", "exit3", "exit4"}
    for name, logits in outcome.exits.items():
        np.testing.assert_allclose(found[name], array(logits), atol=1e-4)


def test_the_answers_of_exits_at_which_images_stop_are_no_outputs(stopping):
    with pytest.raises(ValueError, match=r"run to their end, but .* stops at .*'exit1'.*export DynamicModel"):
        lite.export(stopping(deciders.Confidence()), outputs="exits")


@pytest.mark.parametrize("gates", [False, pytest.param(True, marks=pytest.mark.ci)], ids=["confidence", "gates"])
def test_each_exit_and_the_head_are_parts_of_what_an_image_runs(gates, stopping):
    model = stopping(deciders.ExitGates((6,)) if gates else deciders.Confidence())
    notes = lite.read_metadata(lite.export(model, outputs="decisions"))
    pieces = lite.unit_parts(bench.all_on_of(model))
    assert list(pieces) == ["stem", "unit1", "exit1", "unit2", "exit2", "unit3", "exit3", "unit4", "exit4", "head"]
    stopped_at_2 = {"exit1": 1, "exit2": 0, "exit3": 0, "exit4": 0}
    macs = {name: macs_under(own, stopped_at_2) for name, own in notes["parts"].items()}
    # width 4, 3 classes, 8x8 pixels; with confidence the first unit and the first exit run in any case
    unit, head = 2 * 64 * 9 * 4 * 4, 4 * 3
    expected = {"unit2": unit, "exit2": head, "unit3": 0, "exit3": 0, "unit4": 0, "exit4": 0, "head": 0}
    assert macs == ({"exit1": 0, **expected} if gates else expected)


def test_the_yardstick_of_exits(stopping, toy_images):
    model = stopping(deciders.Confidence())
    model.decider.set_thresholds([0.0, 1.1, 1.1, 1.1])  # all stop at the first exit
    static = lite.export(layers.DynamicModel(model.chain))
    tflite = bench.Models(static, lite.export(model, outputs="decisions"), bench.all_on_of(model))
    found = bench.measure_latency(tflite, toy_images(200))
    ran = sum(found["unit_ms"][name] for name in ("stem", "unit1", "exit1"))
    assert found["overhead_with_decider"] == pytest.approx(found["latency_dynamic_ms"] / ran)


@pytest.mark.ci
def test_locked_groups_on_both_sides_of_an_exit_are_skipped_on_both(toy_images):
    early = layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)], "unit1", name="early")
    gates = deciders.ChannelGates(hidden=4, locked={"both": ["unit1", "unit2"]})
    confidence, images = deciders.Confidence(), toy_images(32)
    alone = layers.DynamicModel(grouped.chain(exits=[early]), gates)
    alone.build((None, 8, 8, 3))
    grouped.enliven(alone.chain)
    grouped.spread(alone, images)
    model = layers.DynamicModel(alone.chain, deciders.CombinedDecider([gates, confidence]))
    model.build((None, 8, 8, 3))
    sure = array(keras.ops.max(keras.ops.softmax(model.outcome(images).exits["early"]), axis=1))
    confidence.thresholds.assign([np.median(sure)])
    found = agrees(model, images, fold="never")
    assert 3 < found[:, -1].sum() < 29
    assert len(np.unique(found, axis=0)) > 4


@pytest.mark.ci
def test_exits_of_copied_units_that_the_head_adds(toy_chain, toy_images):
    network = layers.DynamicModel(toy_chain(units=4))
    network.build((None, 8, 8, 3))
    joined = collaborate(attach_exits(network, ["unit1", "unit2"], copies=["unit3", "unit4"]), share=0.5)
    rng = np.random.default_rng(0)
    for each in joined.chain.exits:  # as if trained: the converter computes equal work once
        each.set_weights([value * rng.uniform(0.9, 1.1, value.shape) for value in each.get_weights()])
    model = layers.DynamicModel(joined.chain, deciders.Confidence())
    model.build((None, 8, 8, 3))
    images = toy_images(32)
    model.decider.set_thresholds(
        np.median(exit_answers(model, images).confidences[:, :2], axis=0)
    )  # between two images
    rates = agrees(model, images).mean(axis=0)
    assert 0 < rates[-1] <= rates[0] < 1
    agrees_nearly(model, images, 0.15)
