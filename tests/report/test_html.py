"""The report as a reader gets it: whole, self-contained, the answer first."""

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from keras_dynamic import report as kd_report
from keras_dynamic.report import html, style

PICTURES = {
    "accuracy_macs",
    "accuracy_ms_float32",
    "accuracy_ms_int8",
    "activation_cascade",
    "activation_gated",
    "frequent_paths_cascade",
    "frequent_paths_gated",
    "macs_cascade",
    "macs_gated",
    "paths_cascade",
    "paths_gated",
}
OF_IMAGES = ("frequent_", "macs_", "paths_")


class Page(HTMLParser):
    """Headings, words and addresses of a page; unclosed or crossed tags fail."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.headings, self.words, self.addresses, self.images = [], [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        if tag == "img":
            self.images += 1
            assert values["alt"]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] != "style" and data.strip():
            self.words.append(data.strip())


def test_report_is_whole_and_self_contained(report, evaluations, tmp_path):
    path = html.write_report(report, evaluations, tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    assert {child.name for child in path.parent.iterdir()} == {"report.html", "report.json", "pictures"}
    assert json.loads((path.parent / "report.json").read_text()) == {**report, "images": 40}
    assert {child.stem for child in (path.parent / "pictures").iterdir()} == PICTURES
    for picture in (path.parent / "pictures").iterdir():
        assert Image.open(picture).width > 800
    page = Page(path.read_text())
    assert page.headings == [
        "What to take",
        "Does it pay?",
        "The figures",
        "Accuracy against time",
        "Cascade",
        "Cascade: which images run what",
        "Gated",
        "Gated: which images run what",
        "What the words mean",
    ]
    assert page.images == len(PICTURES)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|<script", path.read_text())


def test_ways_to_run_and_the_training_are_shown_where_they_were_measured(report, tmp_path):
    gated = report["systems"]["gated"]
    gated["tau_sweep"] = [{"tau": tau, "accuracy": 0.9 - 0.1 * tau, "macs_mean": 5e7 - 2e7 * tau} for tau in (0.2, 0.8)]
    history = {name: [1.0, rate] for name, rate in gated["activation_rates"].items()}
    gated["activation_history"] = {"epochs": [1, 2], "rates": history}
    page = Page(html.write_report(report, {}, tmp_path).read_text())
    pictures = {child.stem for child in (tmp_path / "pictures").iterdir()}
    assert {"inference_gated", "training_gated"} <= pictures
    place = page.headings.index("Gated")
    assert page.headings[place + 1] == "Gated: inference"


@pytest.mark.ci
def test_gradients_are_shown_where_they_were_measured(report, evaluations, tmp_path):
    gated = report["systems"]["gated"]
    gated["gradient_magnitudes"] = {name: 1e-6 * (k + 1) for k, name in enumerate(gated["activation_rates"])}
    path = html.write_report(report, evaluations, tmp_path)
    assert {child.stem for child in (tmp_path / "pictures").iterdir()} == PICTURES
    page = Page(path.read_text())
    place = page.headings.index("Gated: which images run what")
    assert page.headings[place + 1] == "Gated: gradients and activation rates"
    assert any("run it is +1.00: units with larger gradients run more often." in words for words in page.words)


def test_summary_holds_the_figures_and_verdicts(report, tmp_path):
    report["systems"]["gated"]["accuracy_static_twin"] = 0.92
    page = Page(html.write_report(report, {}, tmp_path).read_text())
    start = page.words.index("Verdict")
    assert page.words[start - 3 : start] == ["resnet32, static", "Cascade", "Gated"]
    assert page.words[start : start + 7] == [
        "Verdict",
        "dynamic",
        "merely pruned",
        "Accuracy",
        "93.50 %",
        "93.50 %",
        "91.10 %",
    ]
    assert page.words[page.words.index("Against its static twin, points") + 2] == "−0.90"


def test_without_evaluations_images_are_left_out(report, tmp_path):
    html.write_report(report, {}, tmp_path)
    assert {child.stem for child in (tmp_path / "pictures").iterdir()} == {
        name for name in PICTURES if not name.startswith(OF_IMAGES)
    }
    assert "images" not in json.loads((tmp_path / "report.json").read_text())


def test_what_was_not_measured_is_said(report, tmp_path):
    del report["cascade_frontier"]
    for system in report["systems"].values():
        del system["static_twin"], system["activation_rates"], system["int8"]["unit_ms"]
    page = Page(html.write_report(report, {}, tmp_path).read_text())
    assert any("The cascade frontier was not measured in this run." in words for words in page.words)
    assert page.words[page.words.index("Against the cascade frontier, points") + 1] == "–"


@pytest.mark.ci
def test_systems_that_were_not_exported(report, evaluations, tmp_path):
    for system in report["systems"].values():
        del system["float32"], system["int8"]
    path = html.write_report(report, evaluations, tmp_path)
    assert {child.stem for child in (tmp_path / "pictures").iterdir()} == {
        name for name in PICTURES if not name.startswith("accuracy_ms")
    }
    page = Page(path.read_text())
    assert page.words[page.words.index("Distinct paths") + 1 :][:3] == ["1", "3", "214"]
    words = " ".join(page.words)
    assert not re.search(r"float32 it takes|Overhead|[Tt]imes? ", words)
    assert "Gated breaks even: accuracy 91.10 % at 67 % of the MACs of resnet32" in words


def test_a_page_opens_with_the_answer_and_one_picture_and_the_rest_is_folded(report, evaluations, tmp_path):
    text = html.write_report({**report, "images": 10_000}, evaluations, tmp_path).read_text()
    opening = text[text.index("<body>") : text.index("<details")]
    assert "Gated does not pay: accuracy 91.10 % at 67 % of the MACs" in opening
    assert opening.count("<img") == 1
    assert text.count("<details") == len(Page(text).headings) - 2  # but for what to take and whether it pays


def test_a_section_is_folded_under_its_title(report, tmp_path):
    figure, _ = style.new_figure(2.0)
    hidden = [kd_report.Text(["Under <it>."]), kd_report.Picture("hidden", figure, "A caption.", "Nothing.")]
    section = kd_report.Section("Open me", lambda *_: hidden)
    text = html.write_report(report, {}, tmp_path, [section]).read_text()
    inside = re.search(r"<details.*?>(.*)</details>", text, re.DOTALL).group(1)
    assert "<summary><h2>Open me</h2></summary>" in inside
    assert "Under &lt;it&gt;." in inside
    assert "A caption." in inside
    assert Page(text).images == 1
    assert (tmp_path / "pictures" / "hidden.png").exists()


def test_a_method_adds_its_section(report, tmp_path):
    def render(content, evaluations):
        figure, (axes,) = style.new_figure(2.0)
        axes.plot([0, 1], [0, content["systems"]["gated"]["accuracy"]])
        return [
            kd_report.Text(["Drop ratios <here>."]),
            kd_report.Table(["", "ratio"], [["stage 1", kd_report.Cell("0.4", "of 5 units")]]),
            kd_report.Picture("drop_ratio", figure, "A line.", "A rising line."),
        ]

    sections = [*kd_report.default_sections(report), kd_report.Section("Drop ratios", render)]
    page = Page(html.write_report(report, {}, tmp_path, sections).read_text())
    assert page.headings[-1] == "Drop ratios"
    assert {"Drop ratios <here>.", "0.4", "of 5 units", "A line."} <= set(page.words)
    assert (tmp_path / "pictures" / "drop_ratio.png").exists()


def test_two_pictures_of_one_name_are_an_error(report, tmp_path):
    twice = kd_report.default_sections(report)[1]
    with pytest.raises(ValueError, match="'accuracy_macs' twice"):
        html.write_report(report, {}, tmp_path / "run", [twice, twice])
    assert not (tmp_path / "run").exists()


def test_a_bad_report_leaves_nothing_behind(report, tmp_path):
    report["systems"]["gated"]["accuracy_shuffled"] = float("nan")
    with pytest.raises(ValueError, match="finite numbers"):
        html.write_report(report, {}, tmp_path / "run")
    del report["systems"]["gated"]["accuracy_shuffled"]
    with pytest.raises(ValueError, match="'accuracy_shuffled'"):
        html.write_report(report, {}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numpy_numbers_are_welcome(report, tmp_path):
    report["systems"]["gated"]["accuracy"] = np.float32(0.5)
    report["systems"]["gated"]["distinct_paths"] = np.int64(3)
    report["static"]["resnet8"]["macs"] = np.int64(12_200_000)
    html.write_report(report, {}, tmp_path)
    system = json.loads((tmp_path / "report.json").read_text())["systems"]["gated"]
    assert system["accuracy"] == 0.5
    assert system["distinct_paths"] == 3


@pytest.mark.ci
@pytest.mark.parametrize("images", [False, pytest.param(True, marks=pytest.mark.ci)])
def test_the_same_report_gives_the_same_bytes(images, report, evaluations, tmp_path):
    evaluations = evaluations if images else {}
    first = html.write_report(report, evaluations, tmp_path / "first").read_bytes()
    assert html.write_report(report, evaluations, tmp_path / "second").read_bytes() == first


def test_png_files_have_the_asked_resolution():
    figure, _ = style.new_figure(2.0)
    image = Image.open(io.BytesIO(style.png(figure, 100)))
    assert image.size == (round(100 * style.WIDTH), 200)


def test_names_are_texts_not_markup(report, evaluations, tmp_path):
    name = r"<script>alert(1)</script> $\frac$"
    hostile = {system: each._replace(class_names=(name, *each.class_names[1:])) for system, each in evaluations.items()}
    report["static"][name] = report["static"].pop("resnet8")
    report["cascade_frontier"][0][2] = name
    report["data"] = name
    path = kd_report.write_report(report, hostile, tmp_path)
    Page(path.read_text())
    assert "<script" not in path.read_text()
    assert "&lt;script&gt;" in path.read_text()
