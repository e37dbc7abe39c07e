"""The table that the main job ends with."""

import pytest

from keras_dynamic.report.system_sections import short_table


def test_table_is_aligned_and_short(report):
    lines = short_table(report).split("\n")
    assert [line.split()[0] for line in lines[2:]] == ["resnet32,", "cascade", "gated"]
    assert all(len(line) <= 100 for line in lines)
    ends = [lines[0].index("accuracy") + len("accuracy")] * 3
    assert [line.index("%") + 1 for line in lines[2:]] == ends


def test_table_holds_the_figures(report):
    _, _, static, cascade, gated = short_table(report).split("\n")
    assert static.split() == ["resnet32,", "static", "93.50", "%", "69.0", "M", "2.90", "1.35", "1"]
    # 34.3 / 69 = 0.497, 1.55 / 2.9 = 0.534, 0.74 / 1.35 = 0.548
    expected = "cascade 93.50 % 34.3 M 50 % 1.55 53 % 0.74 55 % 1.03 / 1.03 3 dynamic"
    assert cascade.split() == expected.split()
    assert gated.split()[-2:] == ["214", "dynamic"]


def test_systems_that_were_not_exported_have_no_times(report):
    for system in report["systems"].values():
        del system["float32"], system["int8"]
    header, _, static, _, gated = short_table(report).split("\n")
    assert header.split() == ["accuracy", "MACs", "paths", "verdict"]
    assert static.split() == ["resnet32,", "static", "93.50", "%", "69.0", "M", "1"]
    assert gated.split() == ["gated", "91.10", "%", "45.9", "M", "67", "%", "214", "dynamic"]


def test_pruned_systems_are_called_so(report):
    report["systems"]["gated"]["accuracy_static_twin"] = 0.95
    assert short_table(report).endswith("pruned")


def test_long_names_still_fit(report):
    report["static"]["resnet110"] = report["static"].pop("resnet32")
    assert all(len(line) <= 100 for line in short_table(report).split("\n"))


def test_a_missing_key_is_named(report):
    del report["systems"]["gated"]["int8"]["overhead"]
    with pytest.raises(ValueError, match=r"'overhead' in report\['systems'\]\['gated'\]\['int8'\]"):
        short_table(report)
