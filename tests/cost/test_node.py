"""The cost tree itself."""

from keras_dynamic.cost import Guard, Node

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
