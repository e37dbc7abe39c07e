"""Exact and expected cost of decisions, on a tree with nested and grouped guards."""

import itertools

import keras
import numpy as np
import pytest

from keras_dynamic.cost import Guard, Node, expected, given, greatest_common_unit, parts

TREE = Node(
    "net",
    children=(
        Node("stem", 20),
        Node("coarse", 0, when=Guard("a"), children=(Node("body", 100), Node("fine", 40, when=Guard("b")))),
        Node("group0", 8, when=Guard("g[0]")),
        Node("group1", 12, when=Guard("g[1]")),
        Node("locked", 60, when=Guard("a")),
        Node("empty", 0, when=Guard("c")),
    ),
)
TOTAL = 240


def by_hand(a, b, g0, g1):
    return 20 + a * (100 + 40 * b) + 8 * g0 + 12 * g1 + 60 * a


EVERY = np.array(list(itertools.product([0, 1], repeat=4)), np.float32)
DECISIONS = {"a": EVERY[:, 0], "b": EVERY[:, 1], "g[0]": EVERY[:, 2], "g[1]": EVERY[:, 3], "c": EVERY[:, 0]}


def test_given_is_exact():
    macs = given(TREE, DECISIONS)
    assert macs.dtype == np.int64
    assert macs.tolist() == [by_hand(*row) for row in EVERY]


def test_expected_of_decisions_is_the_exact_fraction():
    found = keras.ops.convert_to_numpy(expected(TREE, DECISIONS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, given(TREE, DECISIONS) / TOTAL, rtol=1e-6)


def test_expected_of_probabilities_is_the_expectation():
    p = {"a": 0.5, "b": 0.25, "g[0]": 0.1, "g[1]": 0.9, "c": 0.3}
    chances = {name: np.array([value], np.float32) for name, value in p.items()}
    wanted = (20 + 0.5 * (100 + 40 * 0.25) + 8 * 0.1 + 12 * 0.9 + 60 * 0.5) / TOTAL
    assert float(expected(TREE, chances)[0]) == pytest.approx(wanted, rel=1e-6)


def test_expected_is_differentiable(gradient):
    others = {"b": 0.25, "g[0]": 0.1, "g[1]": 0.9, "c": 1.0}
    fixed = {name: np.float32([value]) for name, value in others.items()}
    slope = gradient(lambda a: expected(TREE, {**fixed, "a": a}), np.float32([0.5]))
    assert slope[0] == pytest.approx((100 + 40 * 0.25 + 60) / TOTAL, rel=1e-6)
    slope = gradient(lambda g: expected(TREE, {**fixed, "a": np.float32([0.5]), "g[1]": g}), fixed["g[1]"])
    assert slope[0] == pytest.approx(12 / TOTAL, rel=1e-6)


def test_a_tree_without_guards_costs_all_of_it():
    static = Node("net", 5, children=(Node("a", 7),))
    assert given(static, {}).tolist() == [12]
    assert float(expected(static, {})) == 1.0
    assert float(expected(Node("nothing"), {})) == 0.0


@pytest.mark.parametrize("count", [given, expected])
def test_a_missing_decision_is_named(count):
    with pytest.raises(KeyError, match=r"decision 'g\[0\]' is missing; given are \['a', 'b', 'c', 'g\[1\]'\]"):
        count(TREE, {name: value for name, value in DECISIONS.items() if name != "g[0]"})


def test_parts_have_one_entry_per_set_of_guards():
    a, b = Guard("a"), Guard("b")
    wanted = [(20, ()), (160, (a,)), (40, (a, b)), (8, (Guard("g[0]"),)), (12, (Guard("g[1]"),))]
    assert parts(TREE) == wanted
    assert sum(macs for macs, _ in parts(TREE)) == TREE.total_macs


def test_a_guard_within_itself_counts_once():
    node = Node("net", children=(Node("a", 1, when=Guard("a"), children=(Node("b", 2, when=Guard("a")),)),))
    assert parts(node) == [(0, ()), (3, (Guard("a"),))]
    assert given(node, {"a": [0, 1]}).tolist() == [0, 3]
    assert float(expected(node, {"a": np.float32([0.5])})[0]) == 0.5


def test_greatest_common_unit():
    assert greatest_common_unit(TREE) == 4
    assert greatest_common_unit(Node("nothing")) == 1
    assert greatest_common_unit(Node("net", 6, children=(Node("a", 9, when=Guard("a")),))) == 3
