"""Records as Markdown: the tables of docs/results.md and the README."""

from __future__ import annotations

from collections.abc import Sequence

from keras_dynamic.report import formatting, frontier, records, verdicts
from keras_dynamic.report.markdown import table
from keras_dynamic.report.records import Record

NOTHING = "*Nothing measured yet.*"
_ACCURACY, _MACS = ("accuracy", "accuracy_float32", "accuracy_int8"), ("macs_mean", "macs")
_PLAIN_METHOD, _CASCADE_METHOD = "static", "cascade"


def overview(chosen: Sequence[Record], every: Sequence[Record]) -> str:
    """One row per record: what it reaches, at what cost, against the lines, and its targets.

    Args:
        chosen: The records to show.
        every: All records; the static ones and the cascades judged on the same data are the lines.

    Returns:
        A Markdown table, or NOTHING.
    """
    if not chosen:
        return NOTHING
    header = ["Network", "Data", "Accuracy", "MACs", "Static line", "Cascade frontier", "Targets"]
    rows = []
    for record in chosen:
        accuracy, macs = _first(record, _ACCURACY), _first(record, _MACS)
        lines = margins(record, every)
        rows.append(
            [
                f"{record.network} ([{record.id}](#{anchor(record)}))",
                record.data,
                formatting.show("accuracy", accuracy),
                formatting.show("macs", macs),
                formatting.show("margin_static_line", lines.get("margin_static_line")),
                formatting.show("margin_cascade", lines.get("margin_cascade")),
                _targets(record),
            ]
        )
    kept = [column for column in range(len(header)) if _says_something(rows, column)]
    return table([header[column] for column in kept], [[row[column] for column in kept] for row in rows])


def details(record: Record, every: Sequence[Record]) -> str:
    """Everything that a record holds.

    Args:
        record: The record.
        every: All records; the static ones and the cascades judged on the same data are the lines.

    Returns:
        Markdown: a heading, whether it is dynamic or merely pruned where its static twin was measured, its figures
        beside their targets, and under them how to measure them again.
    """
    outcome = records.met(record)
    rows = []
    for name, value in record.figures.items():
        target, verdict = "", ""
        if name in outcome:
            target = _bound(name, record.targets[name])
            verdict = "met" if outcome[name] else "**missed**"
        rows.append([formatting.name_of(name), formatting.show(name, value), target, verdict])
    header = ["Figure", "Measured", "Target", "Met"] if outcome else ["Figure", "Measured"]
    config = record.config if isinstance(record.config, str) else "settings in the record"
    facts = [f"data: {record.data}", f"seed {record.seed}", f"config: {config}", record.machine]
    facts += [record.date, f"commit {record.commit[:12]}", f"{record.seconds:,.0f} s"]
    figures = table(header, [row[: len(header)] for row in rows])
    command = f"```sh\n{record.command}\n```"
    parts = [f"### {record.id}", record.network, *_verdict(record, every), figures, command, f"{'; '.join(facts)}."]
    return "\n\n".join(parts)


def anchor(record: Record) -> str:
    """The anchor that Markdown readers give to a record's heading.

    Args:
        record: The record.

    Returns:
        Its id in small letters, without points.
    """
    return record.id.lower().replace(".", "")


def margins(record: Record, every: Sequence[Record]) -> dict[str, float]:
    """How far a record lies above the lines over the other records that were judged on the same data.

    Args:
        record: The record; a plain network has no margins, a cascade none against the cascade frontier.
        every: All records.

    Returns:
        margin_static_line and margin_cascade as fractions, without those that have no line.
    """
    accuracy, macs = _first(record, _ACCURACY[:1]), _first(record, _MACS)
    if accuracy is None or macs is None or record.method == _PLAIN_METHOD:
        return {}
    result = {}
    for key, method in (("margin_static_line", _PLAIN_METHOD), ("margin_cascade", _CASCADE_METHOD)):
        points = _points(every, method, record.data)
        if points and record.method != method:
            result[key] = accuracy - frontier.line_at(points, macs)
    return result


def _verdict(record: Record, every: Sequence[Record]) -> list[str]:
    """Paragraphs saying whether a record's network is dynamic, if the record holds what that takes."""
    if not {"accuracy", "accuracy_static_twin", "macs_mean"} <= record.figures.keys():
        return []
    system = {**record.figures, **margins(record, every)}
    verdict = verdicts.judge({"systems": {record.id: system}, "images": record.figures.get("images")}, record.id)
    return [f"**{verdict.word.capitalize()}.** {' '.join(verdict.sentences)}"]


def _points(every: Sequence[Record], method: str, data: str) -> list[tuple[float, float]]:
    found = [(_first(r, _MACS), _first(r, _ACCURACY[:1])) for r in every if r.method == method and r.data == data]
    return [(macs, accuracy) for macs, accuracy in found if macs is not None and accuracy is not None]


def _first(record: Record, names: Sequence[str]) -> float | None:
    return next((record.figures[name] for name in names if name in record.figures), None)


def _targets(record: Record) -> str:
    parts = []
    for name, is_met in records.met(record).items():
        shown = f"{formatting.name_of(name)} {formatting.show(name, record.figures[name])}"
        bound = _bound(name, record.targets[name])
        parts.append(f"{shown} ({bound})" if is_met else f"**missed: {shown} ({bound})**")
    return "<br>".join(parts)


def _bound(name: str, target: str) -> str:
    operator, number = records.parse_target(target)
    return f"{'≥' if operator == '>=' else '≤'} {formatting.show(name, number)}"


def _says_something(rows: Sequence[Sequence[str]], column: int) -> bool:
    return any(row[column] not in ("", formatting.NOT_MEASURED) for row in rows)
