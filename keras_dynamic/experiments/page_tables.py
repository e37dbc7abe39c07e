"""Tables and pictures of pages, from the records in results/: which method to use when, and Keras' models as chains."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from keras_dynamic.experiments.records import Record
from keras_dynamic.report import style
from keras_dynamic.report.curve_pictures import Plane
from keras_dynamic.report.formatting import percent, show
from keras_dynamic.report.frontier import Point

_BASELINE = "plain-resnet32"


class Row(NamedTuple):
    """One way to make a network dynamic.

    Attributes:
        have: what the user has.
        use: what to use, in Markdown.
        accuracy: id of the record with accuracy and mean MACs on all test images.
        time: id of the record with the time of the .tflite over the plain network's.
    """

    have: str
    use: str
    accuracy: str
    time: str

    @property
    def name(self) -> str:
        """What is used, in a word or two."""
        return self.use.partition("[")[2].partition("]")[0].removeprefix("a ").removeprefix("an ")


ROWS = (
    Row(
        "trained classifiers, small to large",
        "[cascade](docs/cascade.md): no training, thresholds from held-out images",
        "cascade-resnet8-20-32",
        "quickstart-cascade",
    ),
    Row(
        "one trained network, its training images, an hour or two",
        "[front networks](docs/cascade.md) distilled from it, then a cascade",
        "distil-cifar10",
        "distil-cifar10",
    ),
    Row(
        "one trained network, some thousand images, minutes",
        "[an exit](docs/early_exit.md) on the frozen network",
        "quickstart-exits",
        "quickstart-exits",
    ),
    Row(
        "one trained network, its training set, an hour",
        "[gates](docs/gating.md), one per unit",
        "gating-resnet32",
        "bench-gated",
    ),
    Row(
        "the same, and a smaller ordinary network will do",
        "[channel pruning](docs/channels.md) with trained gates",
        "channels-resnet32-pruned",
        "bench-channels-pruned",
    ),
    Row(
        "the same, and all decisions are wanted before the network runs",
        "[BlockDrop](docs/blockdrop.md), a policy network",
        "blockdrop-resnet32",
        "bench-blockdrop",
    ),
    Row(
        "the same, and easy images shall run fewer units than hard ones",
        "[SGAD](docs/sgad.md), a guideline network",
        "sgad-resnet32-lf",
        "bench-sgad",
    ),
)


def fill_methods(text: str, every: Sequence[Record], folder: str = "") -> str:
    """Writes the table between a page's markers '<!-- methods:begin -->' and '<!-- methods:end -->'.

    Args:
        text: the page.
        every: all records.
        folder: of the page, such as 'docs/', from which links are counted.

    Returns:
        The page; unchanged if it has no markers.

    Raises:
        ValueError: if a record that the table needs is missing.
    """
    if not _between("methods").search(text):
        return text
    found = {record.id: record for record in every}
    missing = [name for name in (_BASELINE, *(n for row in ROWS for n in row[2:])) if name not in found]
    if missing:
        raise ValueError(f"the table of methods needs the records {missing}, which are not in results/; measure them.")
    baseline = found[_BASELINE].figures
    lines = [
        "| You have | Use | Accuracy | MACs | TFLite time, float32 / int8 |",
        "| --- | --- | --- | --- | --- |",
        f"| *the plain ResNet-32* | | {percent(baseline['accuracy'])} | 100 % | 100 % / 100 % |",
    ]
    for row in ROWS:
        figures, times = found[row.accuracy].figures, found[row.time].figures
        share = figures["macs_mean"] / baseline["macs_mean"]
        spent = " / ".join(percent(times[f"latency_share_{kind}"], 0) for kind in ("float32", "int8"))
        cells = [
            row.have,
            row.use.replace(f"]({folder}", "](") if folder else row.use,
            percent(figures["accuracy"]),
            percent(share, 0),
            spent,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return _filled(text, "methods", lines)


def methods_pictures(every: Sequence[Record]) -> dict[str, bytes]:
    """Draws the table of methods: accuracy against MACs and against time, over the plain network's.

    Args:
        every: all records.

    Returns:
        {name of a picture: PNG file}; empty if records that the table needs are missing.
    """
    found = {record.id: record.figures for record in every}
    if not {_BASELINE, *(name for row in ROWS for name in row[2:])} <= set(found):
        return {}
    base = found[_BASELINE]
    looks = style.look_of([row.name for row in ROWS])
    pictures = {}
    plain = [
        Point(100 * figures["macs"] / base["macs"], 100 * figures["accuracy"], name.removeprefix("plain-"))
        for name, figures in found.items()
        if name.startswith("plain-") and figures["macs"] <= base["macs"]
    ]
    for kind, title in (("macs", "MACs"), ("ms", "time of the float32 .tflite")):
        plane = Plane(f"{title}, % of ResNet-32's", "accuracy (%)")
        plane.static(plain if kind == "macs" else [Point(100.0, 100 * base["accuracy"], "resnet32")])
        for row in ROWS:
            share = found[row.accuracy]["macs_mean"] / base["macs_mean"]
            cost = share if kind == "macs" else found[row.time]["latency_share_float32"]
            plane.system(row.name, Point(100 * cost, 100 * found[row.accuracy]["accuracy"]), looks[row.name])
        pictures[f"methods_{kind}"] = style.png(plane.finish(), 140)
    return pictures


def fill_models(text: str, every: Sequence[Record]) -> str:
    """Writes the table between a page's markers '<!-- models:begin -->' and '<!-- models:end -->'.

    Args:
        text: the page.
        every: all records, of which those of the method 'models' are shown.

    Returns:
        The page; unchanged if it has no markers.
    """
    lines = [
        "| Model | Units | that can be skipped | their share of the MACs | MACs | published |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for record in every:
        if record.method == "models":
            figures = record.figures
            share = percent(figures["skippable_share"], 0) if figures["units_skippable"] else "-"
            macs = [show("macs", figures.get(name)) for name in ("macs", "macs_published")]
            units = [int(figures[name]) for name in ("units", "units_skippable")]
            cells = [record.network, *units, share, *macs]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return _filled(text, "models", lines)


def _between(name: str) -> re.Pattern:
    return re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)


def _filled(text: str, name: str, lines: Sequence[str]) -> str:
    table = "\n".join(lines)
    return _between(name).sub(lambda match: f"{match[1]}{table}\n{match[2]}", text)
