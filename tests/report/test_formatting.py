"""Figures as they are printed."""

import pytest

from keras_dynamic.report import formatting


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("accuracy", 0.9355, "93.55 %"),
        ("accuracy_int8", 0.9, "90.00 %"),
        ("decisions_changed_int8", 0.004, "0.40 %"),
        ("margin_static_line", 0.0012, "+0.12 points"),
        ("margin_cascade", -0.019, "−1.90 points"),
        ("margin_static_twin", -0.00001, "0.00 points"),
        ("macs_mean", 34_900_000, "34.9 M"),
        ("macs_std", 9_400, "9.4 k"),
        ("latency_dynamic_ms_float32", 1.934, "1.93 ms"),
        ("decider_ms", 0.0312, "0.031 ms"),
        ("latency_static_ms", 34.56, "34.6 ms"),
        ("overhead_with_decider_int8", 1.1111, "1.111x"),
        ("size_bytes_int8", 1_900_000, "1.90 MB"),
        ("size_bytes", 385_200, "385.2 kB"),
        ("throughput_exits", 1632.4, "1,632 images/s"),
        ("overhead_exits", 1.0236, "1.024x"),
        ("distinct_paths", 1822, "1,822"),
        ("units_mean", 9.913, "9.91"),
        ("expected_units_mean", 7.456, "7.46"),
        ("rank_correlation", 0.3149, "+0.31"),
        ("rank_correlation", -1, "−1.00"),
        ("budget", 5_000_000, "5.0 M"),
        ("kept", 1.021, "102.1 %"),
        ("calibration_error", 0.04, "0.040"),
        ("something_else", 3.14159, "3.142"),
        ("accuracy", None, "–"),
    ],
)
def test_show(figure, value, text):
    assert formatting.show(figure, value) == text


def test_names():
    assert formatting.name_of("latency_dynamic_ms_int8") == "time, dynamic (int8)"
    assert formatting.name_of("units_std") == "units run, standard deviation"
    assert formatting.name_of("accuracy_float32") == "accuracy (float32)"
    assert formatting.name_of("rank_correlation") == "rank correlation of difficulty and units run"
    assert formatting.name_of("something_else") == "something else"


@pytest.mark.parametrize(("system", "words"), [("blockdrop", "BlockDrop"), ("gated", "Gated"), ("sgad", "SGAD")])
def test_a_method_is_written_as_its_paper_writes_it(system, words):
    assert formatting.title_of(system) == words
