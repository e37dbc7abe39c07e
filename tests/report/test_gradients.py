"""Gradients of the plain network beside the rates of the dynamic one, by hand."""

from keras_dynamic.report.training_sections import gradient_section, unit_rate

SYSTEM = {
    "gradient_magnitudes": {"stage1_unit1": 4e-6, "stage1_unit2": 1e-6, "stage2_unit1": 2e-6, "stage2_unit2": 3e-6},
    "activation_rates": {"stage1_unit1": 0.9, "stage1_unit2": 0.2, "stage2_unit1": 0.1},
}


def blocks_of(system):
    return gradient_section("sgad").render({"systems": {"sgad": system}}, {})


def test_sentence_and_table():
    text, table = blocks_of(SYSTEM)
    assert text.sentences == [
        "Over the 3 units that are decided, the rank correlation between the magnitude of a unit's gradients in the "
        "plain network and the share of images that run it is +0.50: units with larger gradients run more often."
    ]
    assert table.rows == [
        ["stage1_unit1", "4.00e-06", "1.00", "90.0 %"],
        ["stage1_unit2", "1.00e-06", "0.25", "20.0 %"],
        ["stage2_unit1", "2.00e-06", "0.50", "10.0 %"],
        ["stage2_unit2", "3.00e-06", "0.75", "always runs"],
    ]


def test_rates_that_go_the_other_way_or_nowhere():
    first, second, *_ = SYSTEM["gradient_magnitudes"]
    opposite = blocks_of({**SYSTEM, "activation_rates": {first: 0.1, second: 0.2}})[0].sentences[0]
    assert opposite.endswith("is −1.00: units with larger gradients run less often.")
    assert len(blocks_of({**SYSTEM, "activation_rates": {first: 0.5, second: 0.5}})) == 1  # equal rates have no rank
    assert len(blocks_of({**SYSTEM, "activation_rates": {}})) == 1


def test_no_gradients_no_section_and_no_division_by_zero():
    assert blocks_of({"activation_rates": SYSTEM["activation_rates"]}) == []
    (table,) = blocks_of({"gradient_magnitudes": {"unit1": 0.0}})
    assert table.rows == [["unit1", "0.00e+00", "0.00", "always runs"]]


def test_a_unit_with_channel_groups_runs_at_their_mean_rate():
    rates = {"unit1[1]": 0.25, "unit1[2]": 0.75, "unit10[1]": 1.0}
    assert unit_rate(rates, "unit1") == 0.5
    assert unit_rate(rates, "unit2") is None
