"""The tables of pages hold what the records say."""

from pathlib import Path

import pytest

from keras_dynamic.experiments import records
from keras_dynamic.experiments.page_tables import ROWS, fill_methods, fill_models

PAGE = "before\n<!-- methods:begin -->\nstale\n<!-- methods:end -->\nafter\n"


@pytest.fixture(scope="module")
def every():
    return records.load_all(Path(__file__).parents[2] / "results")


def test_a_row_has_its_records_figures(every):
    found = {record.id: record.figures for record in every}
    table = fill_methods(PAGE, every)
    assert "stale" not in table
    assert table.startswith("before\n")
    assert table.endswith("<!-- methods:end -->\nafter\n")
    row = next(line for line in table.splitlines() if "[cascade]" in line)
    share = found["cascade-resnet8-20-32"]["macs_mean"] / found["plain-resnet32"]["macs_mean"]
    assert f"| {100 * found['cascade-resnet8-20-32']['accuracy']:.2f} % | {100 * share:.0f} % |" in row
    assert f"{100 * found['quickstart-cascade']['latency_share_int8']:.0f} % |" in row
    assert sum(line.startswith("| ") for line in table.splitlines()) == len(ROWS) + 3  # head, rule, plain network


def test_a_missing_record_is_named(every):
    with pytest.raises(ValueError, match=r"needs the records .*'bench-gated'.* measure them"):
        fill_methods(PAGE, [record for record in every if record.id != "bench-gated"])


def test_a_page_without_the_table_stays(every):
    assert fill_methods("nothing", every) == "nothing"


def test_keras_models(every):
    page = fill_models(PAGE.replace("methods", "models"), every)
    figures = next(record.figures for record in every if record.id == "models-mobilenetv2")
    (row,) = [line for line in page.splitlines() if line.startswith("| MobileNetV2 |")]
    assert row.startswith(f"| MobileNetV2 | {figures['units']:.0f} | {figures['units_skippable']:.0f} | ")
    assert f"| {figures['macs'] / 1e6:.1f} M |" in row
    assert "stale" not in page
    assert fill_models("nothing", every) == "nothing"
