"""Costs in other units, by hand."""

import numpy as np
import pytest

from keras_dynamic.cost import Guard, Node, budget_of, given, priced

GROUPS = Node("unit", when=Guard("unit"), children=(Node("body", 30), Node("group", 10, when=Guard("group"))))
TREE = Node(
    "chain",
    children=(
        Node("stem", 100),
        Node("unit_gate", 2, decides=True),
        GROUPS,
        Node("early", children=(Node("early_head", 5, when=Guard("early", on=False)),)),
        Node("head"),
    ),
)
DECISIONS = {"unit": [1, 1, 0], "group": [1, 0, 1], "early": [1, 0, 1]}


def test_each_part_costs_what_the_table_says_and_shares_it_by_macs():
    table = {"stem": 1.0, "unit_gate": 0.25, "unit": 4.0, "early": 0.5, "head": 0.125}
    found = priced(TREE, table)
    assert found.total_macs == pytest.approx(5.375)  # an alternative to what comes later is no part of everything on
    np.testing.assert_allclose(given(found, DECISIONS), [5.375, 4.875, 1.375])


def test_decisions_together_are_paid_by_every_image():
    found = priced(TREE, {"stem": 1.0, "unit": 4.0, "decider": 0.5, "early": 0.0})
    np.testing.assert_allclose(given(found, DECISIONS), [5.5, 4.5, 1.5])


def test_macs_stay_whole_numbers():
    assert given(TREE, DECISIONS).dtype == np.int64
    np.testing.assert_array_equal(given(TREE, DECISIONS), [142, 137, 102])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stem": 1.0, "unit": 4.0, "early": 1.0}, r"the table lacks the parts \['unit_gate'\]"),
        ({"stem": 1.0, "decider": 4.0, "early": 1.0}, r"the table lacks the parts \['unit'\]"),
        ({"stem": 1.0, "unit": -4.0}, "the cost of 'unit' must be a non-negative number, got -4.0"),
        ({"stem": 1.0, "units": 4.0}, "a part 'units', which the model lacks.*unit"),
        ({"stem": True}, "the cost of 'stem' must be a non-negative number"),
    ],
)
def test_tables_that_do_not_fit(table, message):
    with pytest.raises(ValueError, match=message):
        priced(TREE, table)


def test_parts_of_one_name_are_not_told_apart():
    twice = Node("chain", children=(Node("stem", 1), Node("stem", 2)))
    with pytest.raises(ValueError, match=r"the model has \['stem'\] twice; rename"):
        priced(twice, {"stem": 1.0})
    with pytest.raises(ValueError, match=r"the model has \['decider'\] twice"):
        priced(Node("chain", children=(Node("decider", 1),)), {"decider": 1.0})


def test_stages_within_a_deadline():
    budget = budget_of(ms=1.0, deadline=2.0, table=[0.5, 2.0, 3.0])
    assert budget.stages_within([0.5, 2.0, 3.0]) == 2
    assert budget_of(macs=1.0).stages_within([0.5, 2.0, 3.0]) == 3
    assert budget.text(0.25) == "0.25 ms"
    with pytest.raises(ValueError, match=r"the deadline must be at least 2\.5, .* got 2"):
        budget_of(deadline=2.0, table=[2.5, 3.0]).stages_within([2.5, 3.0])
