"""The table of what each unit costs."""

import re

import pytest

from keras_dynamic.cost import Guard, Node, summary
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel

TREE = Node(
    "net",
    children=(
        Node("stem", 1000, 10),
        Node("big", 0, 0, Guard("big"), (Node("body", 2000, 20), Node("fine", 4000, 40, Guard("big/fine")))),
        Node("head", 5, 5),
    ),
)


def cells(line):
    return [cell.strip() for cell in re.split(r"\s{2,}", line.strip())]


def test_rows_and_totals():
    lines = summary(TREE, {"big": 0.5, "big/fine": 0.25}).splitlines()
    assert cells(lines[0]) == ["part", "when", "MACs", "parameters", "activation rate", "expected MACs"]
    assert cells(lines[2]) == ["stem", "always", "1,000", "10", "1,000"]
    # big/fine runs for a quarter of all images, as measured: 0.5 * 2000 + 0.25 * 4000
    assert cells(lines[3]) == ["big", "big, big/fine", "6,000", "60", "0.500, 0.250", "2,000"]
    assert cells(lines[4]) == ["head", "always", "5", "5", "5"]
    assert cells(lines[-1]) == ["total", "7,005", "75", "3,005"]
    assert len({len(line) for line in lines}) == 1


def test_decisions_without_a_rate_count_as_on_where_they_are_reached():
    assert cells(summary(TREE).splitlines()[-1])[-1] == "7,005"
    assert cells(summary(TREE, {"big": 0.5}).splitlines()[3])[-1] == "3,000"


def test_an_unknown_decision_is_an_error():
    with pytest.raises(
        ValueError, match=r"rates names \['bigg'\], which are no decisions of 'net'; .*\['big', 'big/fine'\]"
    ):
        summary(TREE, {"bigg": 0.5})


def test_a_model_has_one_row_per_unit_and_gate(toy_chain):
    model = DynamicModel(toy_chain(), PerUnitGates())
    model.build((None, 8, 8, 3))
    lines = summary(model, {"unit2": 0.5}).splitlines()
    assert [cells(line)[0] for line in lines[2:-2]] == [
        *("stem", "unit1_gate", "unit1", "unit2_gate", "unit2", "unit3_gate", "unit3", "head"),
    ]
    unit, gate = 2 * 64 * 9 * 4 * 4, 4 * 16 + 16
    total = 64 * 27 * 4 + 3 * (unit + gate) + 4 * 3
    assert cells(lines[5]) == ["unit2_gate", "always", f"{gate:,}", f"{4 * 16 + 4 * 16 + 32 + 2}", f"{gate:,}"]
    assert cells(lines[6])[:3] == ["unit2", "unit2", f"{unit:,}"]
    assert cells(lines[-1])[1] == f"{total:,}"
    assert cells(lines[-1])[-1] == f"{total - unit // 2:,}"


def test_a_column_in_another_unit():
    lines = summary(TREE, {"big": 0.5, "big/fine": 0.25}, {"stem": 0.25, "big": 0.6, "head": 0.125}, "mJ").splitlines()
    assert cells(lines[0])[-1] == "expected mJ"
    # a third of what the part costs is the body's, two thirds are the fine part's: 0.5 * 0.2 + 0.25 * 0.4
    assert [cells(line)[-1] for line in (lines[2], lines[3], lines[4], lines[-1])] == ["0.25", "0.2", "0.125", "0.575"]
    with pytest.raises(ValueError, match=r"the table lacks the parts \['head'\]"):
        summary(TREE, table={"stem": 0.25, "big": 0.6})
