"""What the section says about figures made by hand."""

from keras_dynamic.report import Text
from keras_dynamic.report.exits import exits_section
from tests.report.test_exits_pictures import SYSTEM


def blocks_of(system):
    report = {"static": {}, "systems": {"imta": system}}
    return exits_section("imta").render(report, {})


def test_sentences_table_and_pictures():
    text, table, curve, kept, stops, history, calibration, ranks, variances, folded = blocks_of(SYSTEM)
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
    assert table.rows == [["exit1", "62.00 %", "3.0 M", "0.040"], ["head", "70.00 %", "10.0 M", "0.100"]]
    assert [picture.name for picture in (curve, stops, history, calibration, ranks, variances)] == [
        "exits_imta",
        "stops_imta",
        "exit_history_imta",
        "calibration_imta",
        "exit_ranks_imta",
        "variances_imta",
    ]
    assert "66.00 % at 4.0 M; 71.00 % at 6.5 M" in curve.alternative
    assert kept.header == ["budget", "MACs, mean", "of the budget", "accuracy"]
    assert kept.rows == [["5.0 M", "5.1 M", "102.0 %", "68.00 %"], ["9.0 M", "8.6 M", "96.0 %", "70.50 %"]]
    assert "5.0 M: exit1 70 %, head 30 %; 9.0 M: exit1 4 %, head 96 %" in stops.alternative
    assert "exit1 30.0 % to 60.0 %, head 20.0 % to 70.0 %" in history.alternative
    assert "exit1 and head +0.81" in ranks.alternative
    assert "block 1 8 and 2, block 2 1 and 1" in variances.alternative
    (quotas,) = folded.blocks
    assert quotas.header == ["", "accuracy", "MACs, mean", "exit1", "head"]
    assert quotas.rows[0] == ["p 0.5", "66.00 %", "4.0 M", "86 %", "14 %"]


def test_what_was_not_measured_is_left_out():
    few = {key: SYSTEM[key] for key in ("accuracy", "macs_mean", "exits")}
    text, _, calibration = blocks_of(few)
    assert len(text.sentences) == 1
    assert calibration.name == "calibration_imta"
    assert len(blocks_of({**few, "exit_history": {"epochs": [], "accuracies": {}}})) == 3
    assert blocks_of({"accuracy": 0.9, "macs_mean": 1e6}) == []


def test_budgets_that_never_reach_the_last_exit_are_not_praised():
    poor = [{**SYSTEM["budgeted"][0], "accuracy": 0.6}]
    text, *_ = blocks_of({**SYSTEM, "budgeted": poor})
    assert len(text.sentences) == 3
