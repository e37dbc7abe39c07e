"""Units sorted into stages, and their magnitudes against their rates."""

import numpy as np
import pytest

from keras_dynamic.report import training_sections

SYSTEM = {
    "gradient_magnitudes": {"stage1_unit1": 4e-6, "stage1_unit2": 1e-6, "stage2_unit1": 2e-6, "stage2_unit2": 3e-6},
    "activation_rates": {"stage1_unit1": 0.9, "stage1_unit2": 0.2, "stage2_unit1": 0.1},
}


def test_stages():
    first, second = training_sections.stages_of(SYSTEM)
    assert (first.name, first.labels, first.units) == ("stage 1", ("1", "2"), ("stage1_unit1", "stage1_unit2"))
    np.testing.assert_allclose(first.magnitudes, [1, 0.25])
    np.testing.assert_allclose(first.rates, [0.9, 0.2])
    np.testing.assert_allclose(second.magnitudes, [0.5, 0.75])
    assert second.decided.tolist() == [True, False]
    assert second.rates.tolist() == [0.1, 1.0]  # what is not decided always runs


def test_other_names_are_one_stage_and_counted():
    (stage,) = training_sections.stages_of({"gradient_magnitudes": {"stem_block": 0.0, "stage1_unit1": 0.0}})
    assert (stage.name, stage.labels) == ("", ("1", "2"))
    assert stage.magnitudes.tolist() == [0.0, 0.0]  # nothing learns: no division by it
    assert not stage.decided.any()


def test_correlation_is_over_the_decided_units():
    stages = training_sections.stages_of(SYSTEM)
    assert training_sections.correlation(stages) == pytest.approx(0.5)  # ranks 3 1 2 and 3 2 1
    assert training_sections.correlation(stages[:1]) == pytest.approx(1.0)
    assert training_sections.correlation(stages[1:]) is None


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="Expected gradient_magnitudes"):
        training_sections.stages_of({"activation_rates": {"a": 1.0}})


def test_a_unit_with_channel_groups_runs_at_their_mean_rate():
    rates = {"stage1_unit1[1]": 0.2, "stage1_unit1[2]": 0.6, "stage1_unit10[1]": 1.0}
    system = {"gradient_magnitudes": {"stage1_unit1": 1.0, "stage1_unit2": 2.0}, "activation_rates": rates}
    (stage,) = training_sections.stages_of(system)
    np.testing.assert_allclose(stage.rates, [0.4, 1.0])
    assert stage.decided.tolist() == [True, False]
