"""What the section says about figures made by hand."""

from keras_dynamic.report import Folded, Picture, Table, Text
from keras_dynamic.report.training_sections import gradient_section
from tests.report.test_gradients import SYSTEM


def blocks_of(system):
    return gradient_section("sgad").render({"systems": {"sgad": system}}, {})


def test_sentences_picture_and_table():
    text, picture, folded = blocks_of(SYSTEM)
    assert text == Text(
        [
            "Over the 3 units that are decided, the rank correlation between the magnitude of a unit's gradients in "
            "the plain network and the share of images that run it is +0.50: units with larger gradients run more "
            "often."
        ],
        listed=True,
    )
    assert isinstance(picture, Picture)
    assert (picture.name, picture.wide) == ("gradients_sgad", True)
    assert picture.caption.endswith("Hollow: always runs.")
    assert "stage1_unit2 0.25 and 20 %" in picture.alternative
    assert isinstance(folded, Folded)
    (table,) = folded.blocks
    assert isinstance(table, Table)
    assert table.rows == [
        ["stage1_unit1", "4.00e-06", "1.00", "90.0 %"],
        ["stage1_unit2", "1.00e-06", "0.25", "20.0 %"],
        ["stage2_unit1", "2.00e-06", "0.50", "10.0 %"],
        ["stage2_unit2", "3.00e-06", "0.75", "always runs"],
    ]


def test_stages_speak_for_themselves():
    rates = {**SYSTEM["activation_rates"], "stage2_unit2": 0.0}
    text, picture, _ = blocks_of({**SYSTEM, "activation_rates": rates})
    # Ranks 4 1 2 3 and 4 3 2 1: sum of squares 8, 1 - 48 / 60.
    assert "is +0.20: units with larger gradients run more often." in text.sentences[0]
    assert text.sentences[1] == "Within the stages it is +1.00 in stage 1, −1.00 in stage 2."
    assert "Hollow" not in picture.caption


def test_rates_that_go_the_other_way_or_nowhere():
    first, second, *_ = SYSTEM["gradient_magnitudes"]
    opposite = blocks_of({**SYSTEM, "activation_rates": {first: 0.1, second: 0.2}})[0].sentences[0]
    assert opposite.endswith("is −1.00: units with larger gradients run less often.")
    alike = blocks_of({**SYSTEM, "activation_rates": {first: 0.5, second: 0.5}})
    assert not any(isinstance(block, Text) for block in alike)  # equal rates have no rank


def test_without_decided_units_there_is_a_picture_and_without_gradients_nothing():
    assert isinstance(blocks_of({**SYSTEM, "activation_rates": {}})[0], Picture)
    assert blocks_of({"activation_rates": SYSTEM["activation_rates"]}) == []
