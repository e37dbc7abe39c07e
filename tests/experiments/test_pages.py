"""Pages say what the records say, the committed ones too."""

from pathlib import Path

import pytest

from keras_dynamic.experiments import pages, records
from keras_dynamic.experiments.records import Record

ROOT = Path(__file__).resolve().parents[2]
README = "# Title\n\n<!-- results:begin gating cascade -->\nold\n<!-- results:end -->\n\nLast words.\n"


def record(name: str, method: str, figures: dict, targets: dict | None = None, **changes) -> Record:
    fields = {
        "id": name,
        "method": method,
        "network": f"network of {name}",
        "data": "CIFAR-10 test, 10,000 images",
        "command": f"python train_main.py --config=configs/{name}.py --data_dir=$DATA_DIR --record",
        "config": f"configs/{name}.py",
        "commit": "0123456789abcdef0123",
        "seed": 7,
        "date": "2025-02-03",
        "machine": "2 cores",
        "figures": figures,
        "targets": targets or {},
        "seconds": 1234.0,
    }
    return Record(**{**fields, **changes})


@pytest.fixture
def every() -> list[Record]:
    gated = {"accuracy": 0.9219, "macs_mean": 41.6e6, "accuracy_static_twin": 0.9117, "accuracy_shuffled": 0.8217}
    figures = {"accuracy": 0.94, "macs_mean": 40e6, "overhead_int8": 1.13}
    return [
        record("c1", "cascade", figures, {"accuracy": ">= 0.934", "overhead_int8": "<= 1.12"}),
        record("g1", "gating", gated),
        record("s20", "static", {"accuracy": 0.924, "macs": 40_600_000}),
        record("s32", "static", {"accuracy": 0.9349, "macs": 69_000_000}),
    ]


@pytest.fixture
def root(every, tmp_path):
    for each in every:
        records.write(each, tmp_path / "results")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_the_committed_pages_are_what_the_records_say():
    assert [path.name for path in pages.stale(ROOT)] == []


def test_page_holds_every_record(every):
    page = pages.results_page(every)
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## Static networks", "## Cascades", "## Gated networks"]
    assert "4 records; 1 of 2 targets met, **1 missed**." in page
    for each in every:
        assert f"### {each.id}\n" in page
        assert f"```sh\n{each.command}\n```" in page
    assert page.count("seed 7") == 4
    assert "commit 0123456789ab;" in page


def test_targets_stand_beside_figures_and_missed_ones_are_marked(every):
    page = pages.results_page(every)
    assert "| accuracy | 94.00 % | ≥ 93.40 % | met |" in page
    assert "| overhead (int8) | 1.130x | ≤ 1.120x | **missed** |" in page
    assert "accuracy 94.00 % (≥ 93.40 %)<br>**missed: overhead (int8) 1.130x (≤ 1.120x)** |" in page


def test_margins_are_read_off_the_records(every):
    # Static line at 41.6 M: 92.4384; the only cascade has 94.00 at 40 M and the line is level beyond it.
    found = pages.margins(every[1], every)
    assert found["margin_static_line"] == pytest.approx(0.9219 - 0.924384, abs=1e-6)
    assert found["margin_cascade"] == pytest.approx(0.9219 - 0.94)
    assert pages.margins(every[0], every).keys() == {"margin_static_line"}
    assert pages.margins(every[2], every) == {}
    elsewhere = record("g2", "gating", dict(every[1].figures), data="CIFAR-100 test")
    assert pages.margins(elsewhere, every) == {}


def test_a_record_with_its_twin_says_what_it_is(every):
    page = pages.results_page(every)
    assert "**Dynamic.** Under another image's decisions it loses 10.02 points" in page
    assert "1.81 points under the cascade frontier" in page
    pruned = record("g1", "gating", {**every[1].figures, "accuracy_static_twin": 0.93})
    assert "**Merely pruned.**" in pages.results_page([pruned])


def test_no_records_give_a_page_that_says_so():
    page = pages.results_page([])
    assert pages.NOTHING in page
    assert "## " not in page
    assert "{" not in page


def test_fill_keeps_what_is_outside_the_markers(every):
    text = pages.fill(README, every)
    assert text.startswith("# Title\n\n<!-- results:begin gating cascade -->\n| Network |")
    assert text.endswith("|\n<!-- results:end -->\n\nLast words.\n")
    assert text.index("[g1](docs/results.md#g1)") < text.index("[c1](docs/results.md#c1)")
    assert "old" not in text
    assert "s20" not in text
    assert pages.fill(text, every) == text


def test_fill_by_id_and_all(every):
    assert "[s32]" in pages.fill("<!-- results:begin s32 --><!-- results:end -->", every)
    assert pages.fill("<!-- results:begin all --><!-- results:end -->", every).count("\n|") == 6
    assert pages.NOTHING in pages.fill("<!-- results:begin sgad --><!-- results:end -->", every)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- results:begin all -->", "expected '<!-- results:end -->'"),
        ("\n\n<!-- results:end -->", "line 3: expected results:begin and results:end in turn, got another end"),
        ("<!-- results:begin all -->\n<!-- results:begin all -->", "line 2: .* got another begin"),
        ("<!-- results:begin gatin --><!-- results:end -->", r"got 'gatin' \(did you mean 'gating'\?\)"),
        ("<!-- results:begin --><!-- results:end -->", "got ''"),
    ],
)
def test_bad_markers_are_named(every, text, words):
    with pytest.raises(ValueError, match=f"README.md.*{words}"):
        pages.fill(text, every)


def test_check_tells_stale_pages_and_writing_mends_them(root, capsys):
    arguments = ["--root", str(root)]
    assert pages.main([*arguments, "--check"]) == 1
    assert "results.md: expected the page made from the records" in capsys.readouterr().err
    assert not (root / "docs").exists()
    assert pages.main(arguments) == 0
    assert pages.main([*arguments, "--check"]) == 0
    (root / "results" / "s20.json").unlink()
    assert pages.main([*arguments, "--check"]) == 1


def test_a_broken_record_writes_nothing(root, capsys):
    (root / "results" / "c1.json").write_text("{}")
    assert pages.main(["--root", str(root)]) == 1
    assert "c1.json: expected the key 'id'" in capsys.readouterr().err
    assert not (root / "docs").exists()
    assert (root / "README.md").read_text() == README
