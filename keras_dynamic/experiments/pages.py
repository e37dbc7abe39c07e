"""docs/results.md and the tables of README and docs/your_model.md, written from the records in results/."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from keras_dynamic.experiments import records
from keras_dynamic.experiments.page_tables import fill_methods, fill_models, methods_pictures
from keras_dynamic.experiments.records import METHODS, Record
from keras_dynamic.files import write_bytes, write_text
from keras_dynamic.messages import did_you_mean
from keras_dynamic.report import formatting, frontier
from keras_dynamic.report.formatting import table


class Published(NamedTuple):
    """A row of a paper's tables.

    Attributes:
        network: The paper's words for it.
        data: Its data set.
        accuracy: Fraction of the test images answered rightly.
        share: MACs over those of its whole network, deciders included as the paper counts them; None if not given.
        units: Units run on average, 'of' how many, in words; '' if not given.
    """

    network: str
    data: str
    accuracy: float
    share: float | None
    units: str = ""


_C10, _C100 = "CIFAR-10", "CIFAR-100"

_HERRMANN = (
    "Herrmann, Bowen and Zabih 2018",
    [
        Published("ResNet-110, conditional", _C10, 0.9436, 0.65),
        Published("ResNet-56, pruned", _C10, 0.9331, 0.50),
    ],
)

# method of a record -> (source, rows)
PUBLISHED: dict[str, tuple[str, list[Published]]] = {
    "gating": _HERRMANN,
    "channels": _HERRMANN,
    "blockdrop": (
        "BlockDrop (Wu et al. 2018), tables 1 and 3",
        [
            Published("ResNet-32, curriculum", _C10, 0.886, None, "9.4 of 15"),
            Published("ResNet-32, finetuned, gamma 5", _C10, 0.913, 0.63, "6.9 of 15"),
            Published("FirstK, ResNet-32, finetuned", _C10, 0.843, None, "7 of 15"),
            Published("RandomK, ResNet-32, finetuned", _C10, 0.889, None, "7 of 15"),
            Published("DistributeK, ResNet-32, finetuned", _C10, 0.902, None, "7 of 15"),
            Published("ResNet-32, whole", _C10, 0.923, 1.0, "15 of 15"),
            Published("ResNet-110, finetuned, gamma 2", _C10, 0.919, 0.23, "10.3 of 54"),
            Published("ResNet-110, finetuned, gamma 5", _C10, 0.930, 0.30, "13.8 of 54"),
            Published("ResNet-110, finetuned, gamma 10", _C10, 0.936, 0.36, "16.9 of 54"),
            Published("ResNet-32, finetuned", _C100, 0.687, None, "13.1 of 15"),
            Published("ResNet-110, finetuned", _C100, 0.737, None, "30.2 of 54"),
        ],
    ),
    "sgad": (
        "SGAD (Wang et al. 2018), table 1",
        [
            Published("ResNet-32, MF (s_max 0.2)", _C10, 0.9311, 0.86),
            Published("ResNet-32, LF (s_max 0.8)", _C10, 0.9218, 0.47),
            Published("ResNet-32, whole", _C10, 0.9302, 1.0),
            Published("ResNet-110, MF", _C10, 0.9420, 0.86),
            Published("ResNet-110, LF", _C10, 0.9370, 0.23),
            Published("ResNet-110, whole", _C10, 0.9457, 1.0),
            Published("ResNet-32, MF", _C100, 0.7085, 0.77),
            Published("ResNet-32, LF", _C100, 0.7009, 0.71),
            Published("ResNet-32, whole", _C100, 0.7038, 1.0),
            Published("ResNet-110, MF", _C100, 0.7394, 0.94),
            Published("ResNet-110, LF", _C100, 0.7394, 0.75),
            Published("ResNet-110, whole", _C100, 0.7394, 1.0),
        ],
    ),
    "ddi": (
        "DDI (Wang et al. 2019), tables 1 and 2; its accuracy under a limit for each image",
        [
            Published("ResNet-74, 29.5 M MACs at most", _C10, 0.9100, None),
            Published("ResNet-74, 42.5 M MACs at most", _C10, 0.9282, None),
            Published("ResNet-74, 55 M MACs at most", _C10, 0.9350, None),
            Published("ResNet-74, 85 M MACs at most", _C10, 0.9388, None),
        ],
    ),
    "exits": (
        "IMTA (Li et al. 2019), tables 1 and 2, and Herrmann, Bowen and Zabih 2018",
        [
            Published("MSDNet, exit 1 of 7", _C100, 0.6400, 0.05),
            Published("MSDNet, exit 2 of 7", _C100, 0.6841, 0.10),
            Published("MSDNet, exit 3 of 7", _C100, 0.7186, 0.20),
            Published("MSDNet, exit 4 of 7", _C100, 0.7350, 0.35),
            Published("MSDNet, exit 5 of 7", _C100, 0.7446, 0.56),
            Published("MSDNet, exit 6 of 7", _C100, 0.7539, 0.79),
            Published("MSDNet, exit 7 of 7", _C100, 0.7596, 1.0),
            Published("MSDNet, mean over 5 exits, plain", _C100, 0.6680, None),
            Published("MSDNet, mean over 5 exits, GE", _C100, 0.6721, None),
            Published("MSDNet, mean over 5 exits, GE, ISC and OFA", _C100, 0.6840, None),
            Published("DenseNet-BC-100, learned exits", _C10, 0.9439, 0.684),
        ],
    ),
}


def published(method: str) -> str:
    """The paper's own rows for a method, on networks and schedules of its own.

    Args:
        method: Method of records.

    Returns:
        Markdown, a sentence and a table; '' where there is no paper.
    """
    if method not in PUBLISHED:
        return ""
    source, rows = PUBLISHED[method]
    header = ["Published", "Data", "Accuracy", "MACs of its whole network"]
    cells = [
        [
            row.network,
            row.data,
            formatting.percent(row.accuracy),
            formatting.NOT_MEASURED if row.share is None else formatting.percent(row.share, 0),
        ]
        for row in rows
    ]
    if any(row.units for row in rows):
        header.append("Units")
        cells = [[*line, row.units or formatting.NOT_MEASURED] for line, row in zip(cells, rows, strict=True)]
    return f"{source}, on networks and training schedules of its own:\n\n{table(header, cells)}"


NOTHING = "*Nothing measured yet.*"
_ACCURACY, _MACS = ("accuracy", "accuracy_float32", "accuracy_int8"), ("macs_mean", "macs")
_PLAIN_METHOD, _CASCADE_METHOD = "static", "cascade"


def overview_table(chosen: Sequence[Record], every: Sequence[Record]) -> str:
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


def record_details(record: Record, every: Sequence[Record]) -> str:
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
    verdict = frontier.judge({"systems": {record.id: system}, "images": record.figures.get("images")}, record.id)
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


RESULTS_PAGE = "docs/results.md"
README = "README.md"
FILLED = ("docs/your_model.md", "docs/start.md", "docs/comparison.md")
RECORDS = "results"

TITLES = {
    "static": "Static networks",
    "cascade": "Cascades",
    "pay": "Plans, before training",
    "gating": "Gated networks",
    "blockdrop": "BlockDrop",
    "sgad": "SGAD",
    "ddi": "DDI",
    "channels": "Channel groups",
    "exits": "Early exits",
    "serving": "Serving",
    "edge": "Microcontrollers and browsers",
    "models": "Keras models as chains",
}
_EVERYTHING = "all"
_MARKER = re.compile(r"<!-- results:(begin|end)(?: ([^>]*?))? -->")


def results_page(every: Sequence[Record]) -> str:
    """Writes docs/results.md.

    Args:
        every: All records.

    Returns:
        Its text: an introduction, then per method an overview and each record with its figures, targets and command.
    """
    import jinja2

    templates = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates), undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False
    )
    sections = []
    for method, title in TITLES.items():
        chosen = [record for record in every if record.method == method]
        if chosen:
            details = [record_details(record, every) for record in chosen]
            overview = overview_table(chosen, every)
            sections.append({"title": title, "overview": overview, "published": published(method), "details": details})
    targets = [is_met for record in every for is_met in records.met(record).values()]
    counts = {"records": len(every), "targets": len(targets), "missed": targets.count(False)}
    page = environment.get_template("results.md").render(sections=sections, nothing=NOTHING, **counts)
    return page.rstrip("\n") + "\n"


def fill(text: str, every: Sequence[Record], name: str = README) -> str:
    """Replaces what stands between a page's markers.

    Args:
        text: A page with '<!-- results:begin NAMES -->' and '<!-- results:end -->', each on a line of its own; NAMES
            are methods, ids of records, or 'all', with spaces between.
        every: All records.
        name: The page's name, for errors.

    Returns:
        The page with the overview of the named records between each pair.

    Raises:
        ValueError: If a marker has no partner, or a name is neither a method nor a record's id.
    """
    pieces, position, opened = [], 0, None
    for marker in _MARKER.finditer(text):
        kind, names = marker.groups()
        if (kind == "end") != (opened is not None):
            line = text.count("\n", 0, marker.start()) + 1
            raise ValueError(
                f"{name}, line {line}: expected results:begin and results:end in turn, got another {kind}; pair them."
            )
        if kind == "begin":
            pieces.append(text[position : marker.end()])
            opened = names or ""
        else:
            chosen = _choose(opened or "", every, name)
            links = overview_table(chosen, every).replace("](#", f"]({RESULTS_PAGE}#")
            pieces.append(f"\n{links}\n")
            position, opened = marker.start(), None
    if opened is not None:
        raise ValueError(f"{name}: expected '<!-- results:end -->' after results:begin {opened}, got none; add it.")
    return "".join([*pieces, text[position:]])


def pages(root: Path | str) -> dict[Path, str]:
    """The pages as the records want them.

    Args:
        root: Root of the repository.

    Returns:
        {path: text} of docs/results.md and, where there are such, of README.md and the pages FILLED.

    Raises:
        ValueError: If a record is malformed, or the README's markers are.
    """
    root = Path(root)
    every = records.load_all(root / RECORDS)
    readme = root / README
    result = {root / RESULTS_PAGE: results_page(every)}
    if readme.exists():
        result[readme] = fill_methods(fill(readme.read_text(encoding="utf-8"), every), every)
    for page in (root / name for name in FILLED):
        if page.exists():
            text = fill_models(page.read_text(encoding="utf-8"), every)
            result[page] = fill_methods(text, every, "docs/")
    return result


def stale(root: Path | str) -> list[Path]:
    """The pages that differ from the records.

    Args:
        root: Root of the repository.

    Returns:
        Their paths; empty if all is well.

    Raises:
        ValueError: As `pages`.
    """
    wanted = pages(root)
    return [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pages, or with --check only compares them.

    Args:
        arguments: The command line; None for the process's own.

    Returns:
        0, or 1 if --check found a page that differs or a record is malformed.
    """
    parser = argparse.ArgumentParser(description="Write docs/results.md and the README's tables from results/*.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs from the records")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: here)")
    options = parser.parse_args(arguments)
    try:
        different = stale(options.root)
        if options.check:
            for path in different:
                print(
                    f"{path}: expected the page made from the records, got something else; run `make results`.",
                    file=sys.stderr,
                )
            return 1 if different else 0
        wanted = pages(options.root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in different:
        print(f"wrote {write_text(path, wanted[path])}")
    if different:
        for name, content in methods_pictures(records.load_all(options.root / RECORDS)).items():
            print(f"wrote {write_bytes(options.root / 'docs' / 'pictures' / f'{name}.png', content)}")
    return 0


def _choose(names: str, every: Sequence[Record], page: str) -> list[Record]:
    chosen: list[Record] = []
    known = [_EVERYTHING, *METHODS, *(record.id for record in every)]
    for name in names.split() or [""]:
        if name not in known:
            raise ValueError(
                f"{page}: expected 'all', methods or ids of records after results:begin, "
                f"got {name!r}{did_you_mean(name, known)}; correct the marker."
            )
        found = [record for record in every if name in (_EVERYTHING, record.method, record.id)]
        chosen += [record for record in found if record not in chosen]
    return chosen


if __name__ == "__main__":
    sys.exit(main())
