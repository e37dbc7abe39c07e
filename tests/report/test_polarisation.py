"""Decisions counted by hand."""

import pytest

from keras_dynamic.report.analysis import Polarisation, polarisation


def test_always_off_always_on_and_in_between():
    rates = {"a": 0.0, "b": 0.04, "c": 0.05, "d": 0.5, "e": 0.95, "f": 0.97, "g": 1.0, "h": 1.0}
    # a, b, f, g and h run for less than 5 % or more than 95 %.
    assert polarisation(rates) == Polarisation(always_off=1, between=5, always_on=2, polarised=5 / 8)


def test_without_rates_there_is_nothing_to_count():
    with pytest.raises(ValueError, match=r"Expected activation rates .* a static network cannot polarise"):
        polarisation({})
