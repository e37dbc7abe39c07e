"""The cost tree itself."""

import numpy as np

from keras_dynamic.cost import Guard, Node, expected, given, parts, summary

TREE = Node(
    "net",
    macs=1,
    children=(
        Node("stem", 10, 5),
        Node("unit1", 100, 50, Guard("unit1"), (Node("inner", 1000, 500, Guard("deep")),)),
        Node("unit2", 10_000, 5000, Guard("unit1")),
    ),
)


def test_totals():
    assert TREE.total_macs == 11_111
    assert TREE.total_parameters == 5555


def test_a_part_may_run_where_the_decision_is_0():
    off = Guard("unit1", on=False)
    tree = Node("net", 1, children=(Node("go", 10, 1, Guard("unit1")), Node("stop", 100, 2, off), Node("end", 1000)))
    assert (tree.total_macs, tree.total_parameters) == (1011, 3)
    assert given(tree, {"unit1": [0, 1]}).tolist() == [1101, 1011]
    assert parts(tree) == [(1001, ()), (10, (Guard("unit1"),)), (100, (off,))]
    soft = {"unit1": np.float32([0.0, 0.25, 1.0])}
    np.testing.assert_allclose(expected(tree, soft), np.array([1101, 1078.5, 1011]) / 1011, rtol=1e-6)
    assert list(tree.prefixed("big").guards()) == [Guard("big/unit1"), Guard("big/unit1", on=False)]
    row, *_, total = summary(tree, {"unit1": 0.25}).splitlines()[3:]
    assert row.split() == ["stop", "not", "unit1", "100", "2", "0.750", "75"]
    assert total.split() == ["total", "1,011", "3", "1,078"]


def test_guards_come_in_execution_order():
    assert list(TREE.guards()) == [Guard("unit1"), Guard("deep"), Guard("unit1")]


def test_prefixed_renames_every_decision():
    assert list(TREE.prefixed("big").guards()) == [Guard("big/unit1"), Guard("big/deep"), Guard("big/unit1")]
    assert TREE.prefixed("big").total_macs == TREE.total_macs


def test_without_exits_that_nothing_reads():
    inner = Node("inner", macs=3, children=(Node("unread", macs=5, exit=True),))
    tree = Node("net", children=(Node("stem", macs=2), Node("exit1", macs=7, exit=True), inner))
    assert tree.total_macs == 17
    assert tree.without_exits().total_macs == 5
