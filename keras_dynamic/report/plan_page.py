"""The HTML page of a plan: what pays in short, one picture, all ways, and what to run."""

from __future__ import annotations

from keras_dynamic.report import formatting, style
from keras_dynamic.report.curve_pictures import Plane
from keras_dynamic.report.frontier import Point
from keras_dynamic.report.html import render
from keras_dynamic.report.sections import Block, Picture, Section, Table, Text


def page_of(made, count, header, rows) -> str:
    """Returns the HTML page of a plan.

    Args:
        made: Plan.
        count: of validation inputs.
        header: titles of the table's columns.
        rows: a list of texts for each way.
    """
    summary = [
        f"The network is {formatting.percent(made.accuracy)} right on {count:,} validation inputs, at "
        f"{formatting.millions(made.macs)} MACs and {formatting.milliseconds(made.ms)} for each ({made.precision} "
        ".tflite, one thread).",
        made.ways[0].verdict if not made.ways[0].because else "No way pays here.",
        *made.remarks,
    ]
    picture = Picture(
        "plan",
        _drawn(made),
        "Expected accuracy against mean MACs. Nothing here has been trained.",
        "Expected accuracy against MACs: " + " ".join(way.verdict for way in made.ways),
        wide=True,
    )
    table = Table(header, rows)
    verdicts = Text([way.verdict for way in made.ways], listed=True)
    code: list[Block] = [
        Text([f"{way.name}: {line}" for line in way.run.split("\n")], listed=True) for way in made.ways if way.run
    ]
    sections = [
        Section("In short", lambda *_: [Text(summary, listed=True), picture], folded=False),
        Section("All ways", lambda *_: [table, verdicts], folded=False),
        Section("What to run", lambda *_: code),
    ]
    return render({}, {}, sections, title="Will it pay?")[0]


def _drawn(made):
    """Returns the picture of a plan: a curve for each way that no other way has too, up to the network's own cost."""
    plane = Plane("MACs over the network's", "accuracy (%)")
    plane.point(Point(1.0, 100 * made.accuracy, "the network"), "#444444")
    curves: dict[tuple, list[str]] = {}
    for way in made.ways:
        shown = tuple(Point(macs, 100 * accuracy) for macs, _, accuracy in way.points if macs <= 1)
        if len(shown) > 1:
            curves.setdefault(shown, []).append(way.name.partition(",")[0] if "cascade" not in way.name else way.name)
    looks = style.look_of([" and ".join(names) for names in curves.values()])
    for points, names in curves.items():
        name = " and ".join(names).replace("front network of ", "").replace("front and middle network of ", "")
        plane.curve(name, list(points), looks[" and ".join(names)][0])
    return plane.finish()
