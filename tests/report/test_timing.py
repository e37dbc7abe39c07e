"""Times of networks that were not timed."""

import pytest

from keras_dynamic.report import frontier
from keras_dynamic.report.frontier import Timed


def test_time_on_the_lines_through_the_timed_networks():
    timed = [Timed(40e6, 2.0, 0.92, "20"), Timed(70e6, 3.0, 0.93, "32")]
    assert frontier.time_of(20e6, timed) == pytest.approx(1.0)
    assert frontier.time_of(55e6, timed) == pytest.approx(2.5)
    assert frontier.time_of(140e6, timed) == pytest.approx(6.0)


def test_nothing_timed_is_an_error():
    with pytest.raises(ValueError, match="at least one timed static network"):
        frontier.time_of(1e6, [])


def test_the_reference_is_timed_in_any_case(report):
    assert frontier.timed_static(report, "float32") == [Timed(69_000_000, 2.9, 0.934, "resnet32")]


def test_other_static_networks_may_carry_their_times(report):
    report["static"]["resnet8"]["int8"] = {"latency_ms": 0.27, "accuracy": 0.875}
    entries = frontier.timed_static(report, "int8")
    assert entries == [Timed(12_200_000, 0.27, 0.875, "resnet8"), Timed(69_000_000, 1.35, 0.934, "resnet32")]


def test_reference_by_its_macs(report):
    assert frontier.reference_of(report, report["systems"]["gated"]) == ("resnet32", 0.935)
    assert frontier.reference_of(report, {"macs_static": 5}) == ("static network", None)
