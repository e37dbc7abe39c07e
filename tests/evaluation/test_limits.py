"""Limits on each image's MACs: where images stop, by hand and as a file with a budget does."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite
from keras_dynamic.cost import Guard, Node
from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import evaluate, limit_figures
from keras_dynamic.layers import DynamicModel, Exit
from keras_dynamic.methods import ActivationGating

TREE = Node(
    "net",
    children=(
        Node("stem", 10),
        Node("unit1", 100, when=Guard("unit1")),
        Node("exit1", 1),
        Node("rest", when=Guard("exit1"), children=(Node("unit2", 100, when=Guard("unit2")), Node("exit2", 2))),
        Node("end", when=Guard("exit1"), children=(Node("head", 5, when=Guard("exit2")),)),
    ),
)


def test_where_images_stop_by_hand():
    # Of images that skip nothing, the first, the second and both units: what each knows when it must decide.
    decisions = {
        "unit1": np.array([1, 0, 1, 0]),
        "exit1": np.ones(4),
        "unit2": np.array([1, 1, 0, 0]),
        "exit2": np.ones(4),
    }
    costs = cost.costs_of_stops(TREE, ["exit1", "exit2"])
    assert cost.most(costs[0], {}) == 10 + 100 + 1
    assert cost.most(costs[1], {"unit1": 0}) == 10 + 1 + 100 + 2
    assert cost.most(costs[2], {"unit1": 0, "unit2": 0}) == 10 + 1 + 2 + 5
    for limit, wanted in (
        (0, [0, 0, 0, 0]),
        (112, [0, 0, 0, 0]),  # the second unit may cost 100: 113 at least
        (113, [0, 1, 0, 2]),  # the fourth image has skipped it: 18 to the end
        (118, [0, 2, 0, 2]),
        (213, [1, 2, 2, 2]),
        (218, [2, 2, 2, 2]),
    ):
        np.testing.assert_array_equal(cost.stops_within(TREE, ["exit1", "exit2"], decisions, limit), wanted)


@pytest.fixture
def model(toy_chain, toy_images, spread_gates):
    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    exits = [Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    gates = PerUnitGates(hidden=4)
    gated = ActivationGating(toy_chain(units=3, exits=exits), gates)
    gated.build((None, 8, 8, 3))
    spread_gates(gated, toy_images(40))
    made = DynamicModel(gated.chain, CombinedDecider([gates, Confidence()]))
    made.build((None, 8, 8, 3))
    return made


def test_a_file_with_a_budget_does_the_same(model, toy_images):
    images, labels = toy_images(40), np.arange(40) % 3
    content = lite.export(model, outputs=("logits", "macs"), budget="input")
    interpreter, unit = lite.Interpreter(content), lite.read_metadata(content)["macs_unit"]
    whole = model.cost_tree.total_macs
    limits = [0.3 * whole, 0.6 * whole, 0.8 * whole, whole]
    rows = limit_figures(model, images, labels, limits)
    for row in rows:
        found = [interpreter.run(image, budget=row["limit"]) for image in images]
        macs = np.array([each["macs"].item() * unit for each in found])
        right = [each["logits"].argmax() == label for each, label in zip(found, labels, strict=True)]
        assert (macs.mean(), macs.max()) == (row["macs_mean"], row["macs_max"])
        assert row["accuracy"] == pytest.approx(np.mean(right))
    assert [row["over"] for row in rows][1:] == [0, 0, 0]
    assert rows[-1]["stops"] == [0, 0, 1]
    assert rows[-1]["accuracy"] == evaluate(model, images, labels).accuracy
    assert limit_figures(model, images, labels, whole) == rows[-1:]


def test_bad_input(model, toy_images):
    with pytest.raises(ValueError, match="a limit must be a positive number, got -1"):
        limit_figures(model, toy_images(3), [0, 1, 2], [-1])
    undecided = DynamicModel(model.chain, model.decider.deciders[0])
    with pytest.raises(ValueError, match="limits are kept by exits that Confidence decides"):
        limit_figures(undecided, toy_images(3), [0, 1, 2], [1e6])
