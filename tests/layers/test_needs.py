"""What must run before an image may stop at an exit, leaf by leaf."""

import keras
import numpy as np
from keras import layers

from keras_dynamic import cost
from keras_dynamic.cost import Node, register
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import Chain, DynamicModel, Exit, LeafHead, LeafPart
from keras_dynamic.layers.liveness import liveness_of


class TwoLeaves(layers.Layer):
    """{fine, coarse} -> the same: fine of fine for 10 MACs, coarse of both for 1."""

    def call(self, x):
        return {"fine": 2.0 * x["fine"], "coarse": x["fine"] + x["coarse"]}

    def compute_output_spec(self, x):
        return {name: keras.KerasTensor(spec.shape) for name, spec in x.items()}

    def leaf_parts(self, x):
        return {
            "fine": LeafPart(Node("fine", 10), ("fine",)),
            "coarse": LeafPart(Node("coarse", 1), ("fine", "coarse")),
        }


class Twice(layers.Layer):
    """x -> {fine: x, coarse: x}, for 100 MACs."""

    def call(self, x):
        return {"fine": x, "coarse": x}

    def compute_output_spec(self, x):
        return {"fine": keras.KerasTensor(x.shape), "coarse": keras.KerasTensor(x.shape)}


register(Twice)(lambda layer, inputs: 100)
register(TwoLeaves)(lambda layer, inputs: 11)


def model():
    """Three units, an exit behind each of the first two, all of 3 classes that read the coarse leaf of 4 numbers."""
    units = [TwoLeaves(name=f"unit{k}") for k in (1, 2, 3)]
    exits = [Exit(layers.Dense(3), f"unit{k}", leaf="coarse", name=f"exit{k}") for k in (1, 2)]
    made = DynamicModel(Chain(Twice(), units, LeafHead(layers.Dense(3), "coarse"), exits), Confidence())
    made.build((None, 4))
    return made


def test_what_a_leaf_is_needed_for():
    made = model()
    found = [needs.leaves for needs in liveness_of(made.chain, made.decider) if needs.leaves]
    # unit1's fine leaf is first read by unit2's coarse one, behind exit1; unit3's by nobody
    assert found == [{"fine": 1, "coarse": 0}, {"fine": 2, "coarse": 1}, {"coarse": 2}]


def test_cost_counts_a_leaf_from_where_it_is_needed():
    made = model()
    decisions = {"exit1": np.array([0, 1, 1]), "exit2": np.array([0, 0, 1])}
    head = 4 * 3
    first = 100 + 1 + head
    second = first + 10 + 1 + head
    third = second + 10 + 1 + head
    np.testing.assert_array_equal(cost.given(made.cost_tree, decisions), [first, second, third])


def test_without_decided_exits_all_counts_that_anything_reads():
    made = model()
    plain = DynamicModel(made.chain)
    plain.build((None, 4))
    assert plain.cost_tree.total_macs == 100 + 2 * 11 + 1 + 3 * 4 * 3
