"""Liveness and order on graphs small enough to see: operators are given by what they read and make."""

from types import SimpleNamespace

import pytest

from keras_dynamic.lite.flatbuffer import ancestors, drop_dead, guards, schedule


def graph(outputs, *operators):
    return SimpleNamespace(
        outputs=list(outputs), operators=[SimpleNamespace(inputs=list(i), outputs=list(o)) for i, o in operators]
    )


# 0 is the input. Operator 3 selects: edge (3, 1) is its then-operand, (3, 2) its otherwise-operand.
DIAMOND = graph([6], ([0], [1]), ([1], [2]), ([1], [3]), ([0, 2, 3], [5]), ([5], [6]))
LABELS = {(3, 1): "then", (3, 2): "else"}


def test_guards_follow_every_use():
    assert guards(DIAMOND, LABELS) == [frozenset(), {"then"}, {"else"}, frozenset(), frozenset()]


def test_a_second_output_lifts_the_guard():
    with_output = graph([6, 2], *((o.inputs, o.outputs) for o in DIAMOND.operators))
    assert guards(with_output, LABELS)[1] == frozenset()


def test_nested_guards_add_up():
    nested = graph([9], ([0], [1]), ([1], [2]), ([0, 2, 0], [3]), ([3], [4]), ([0, 4, 0], [9]))
    labels = {(2, 1): "inner", (4, 1): "outer"}
    assert guards(nested, labels) == [{"inner", "outer"}, {"inner", "outer"}, {"outer"}, {"outer"}, frozenset()]


def test_what_nobody_needs_has_none_and_goes():
    dead = graph([1], ([0], [1]), ([0], [2]), ([2], [3]), ([0], []))
    assert guards(dead, {}) == [frozenset(), None, None, frozenset()]
    drop_dead(dead)
    assert [o.outputs for o in dead.operators] == [[1], []]


def test_ancestors():
    assert ancestors(DIAMOND, 3) == {0, 1, 2}
    assert ancestors(DIAMOND, 0) == set()


@pytest.mark.parametrize("seed", range(3))
def test_schedule_orders_and_keeps_what_is_in_order(seed):
    import random

    shuffled = graph([6], *((o.inputs, o.outputs) for o in random.Random(seed).sample(DIAMOND.operators, 5)))
    schedule(shuffled)
    known = {0}
    for operator in shuffled.operators:
        assert known.issuperset(operator.inputs)
        known.update(operator.outputs)
    assert known == {0, 1, 2, 3, 5, 6}
    again = list(shuffled.operators)
    schedule(shuffled)
    assert shuffled.operators == again
