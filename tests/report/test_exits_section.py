"""The section on exits, from figures made by hand."""

from keras_dynamic.report import Text
from keras_dynamic.report.exits import exits_section
from tests.report.test_exits_pictures import LIMITS, SYSTEM


def blocks_of(system):
    report = {"static": {}, "systems": {"imta": system}}
    return exits_section("imta").render(report, {})


def test_sentences_table_and_pictures():
    text, curve, history, exits, kept, quotas = blocks_of(SYSTEM)
    assert text == Text(
        [
            "2 exits, 66.00 % right on average over them; the last 70.00 % at 10.0 M MACs.",
            "Images that stop where the network is sure reach the last exit's accuracy at 6.5 M MACs on average, 65 % "
            "of its cost.",
            "Budgets that were set on held-out images are kept to within 4.0 % on the test images.",
            "The gradient of the first block varies 8 times as much as that of the last; under gradient equilibrium 2 "
            "times.",
        ],
        listed=True,
    )
    assert (curve.name, history.name) == ("exits_imta", "exit_history_imta")
    assert "66.00 % at 4.0 M; imta, 71.00 % at 6.5 M" in curve.alternative
    assert "exit1 30.0 % to 60.0 %, head 20.0 % to 70.0 %" in history.alternative
    assert exits.rows == [["exit1", "62.00 %", "3.0 M", "0.040", "+0.81"], ["head", "70.00 %", "10.0 M", "0.100", "–"]]
    assert kept.header == ["budget", "spent", "accuracy", "MACs, mean", "at exit1", "at head"]
    assert kept.rows[0] == ["5.0 M", "102.0 %", "68.00 %", "5.1 M", "70 %", "30 %"]
    assert quotas.header == ["", "accuracy", "MACs, mean", "at exit1", "at head"]
    assert quotas.rows[0] == ["p 0.5", "66.00 %", "4.0 M", "86 %", "14 %"]


def test_a_table_of_limits():
    *_, limits, _ = blocks_of({**SYSTEM, "limits": LIMITS})
    assert limits.header == ["limit", "MACs, most", "accuracy", "MACs, mean", "at exit1", "at head"]
    assert limits.rows[1] == ["9.0 M", "8.9 M", "69.00 %", "6.0 M", "40 %", "60 %"]


def test_what_was_not_measured_is_left_out():
    few = {key: SYSTEM[key] for key in ("accuracy", "macs_mean", "exits")}
    text, _, table = blocks_of(few)
    assert len(text.sentences) == 1
    assert table.header == ["", "accuracy", "MACs", "expected calibration error"]
    assert len(blocks_of({**few, "exit_history": {"epochs": [], "accuracies": {}}})) == 3
    assert blocks_of({"accuracy": 0.9, "macs_mean": 1e6}) == []


def test_budgets_that_never_reach_the_last_exit_are_not_praised():
    poor = [{**SYSTEM["budgeted"][0], "accuracy": 0.6}]
    text, *_ = blocks_of({**SYSTEM, "budgeted": poor})
    assert len(text.sentences) == 3
