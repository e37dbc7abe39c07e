"""The section on inference, from figures made by hand."""

import copy

from keras_dynamic.report import Cell, Text
from keras_dynamic.report.training_sections import inference_section
from tests.report.test_inference_pictures import SYSTEM


def blocks_of(system):
    return inference_section("gated").render({"systems": {"gated": system}}, {})


def test_sentences_picture_and_tables():
    text, picture, table = blocks_of(SYSTEM)
    assert text == Text(
        [
            "From tau 0.1 to 0.9 its mean MACs go from 66.0 M to 30.0 M and its accuracy from 92.50 % to 85.00 %.",
            "Everything on: +0.90 points against tau 0.5, at 1.44 times the MACs.",
            "Sampled, mean of 5 runs: −0.70 points against tau 0.5, at 0.98 times the MACs.",
            "2 samples together: +0.10 points against tau 0.5, at 1.96 times the MACs.",
            "5 samples together: +0.65 points against tau 0.5, at 5.00 times the MACs.",
        ],
        listed=True,
    )
    assert picture.name == "inference_gated"
    assert "tau 0.9 85.00 % at 30.0 M" in picture.alternative
    assert table.header == ["", "accuracy", "MACs, mean"]
    assert [row[0] for row in table.rows[:4]] == ["tau 0.1", "tau 0.5", "tau 0.9", "Its own threshold, tau 0.5"]
    assert table.rows[3][1:] == [Cell("91.70 %"), Cell("48.0 M")]
    assert table.rows[5][1:] == [Cell("91.00 %", "± 0.12 points"), Cell("47.0 M", "± 0.1 M")]
    assert table.caption == "After ±: standard deviation over the runs"


def test_top5_accuracy_is_shown_where_it_was_measured():
    system = copy.deepcopy(SYSTEM)
    system["inference"][1]["accuracy_top5"] = 0.993
    table = blocks_of(system)[2]
    assert table.header == ["", "accuracy", "top-5 accuracy", "MACs, mean"]
    assert (table.rows[4][2], table.rows[3][2]) == (Cell("99.30 %"), Cell("–"))


def test_a_policy_has_a_sweep_alone_and_a_cascade_nothing():
    text, _, table = blocks_of({key: SYSTEM[key] for key in ("accuracy", "macs_mean", "tau_sweep")})
    assert len(text.sentences) == 1
    assert len(table.rows) == 3
    assert table.caption == ""
    assert blocks_of({"accuracy": 0.9, "macs_mean": 1e6}) == []
