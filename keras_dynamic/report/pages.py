"""docs/results.md and the README's tables, written from the records in results/.

python -m keras_dynamic.report.pages            writes them
python -m keras_dynamic.report.pages --check    fails if they differ from the records
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_dynamic.messages import near
from keras_dynamic.report import record_tables, records
from keras_dynamic.report.files import write_atomically
from keras_dynamic.report.published import published
from keras_dynamic.report.records import METHODS, Record

RESULTS_PAGE = "docs/results.md"
README = "README.md"
RECORDS = "results"

TITLES = {
    "static": "Static networks",
    "cascade": "Cascades",
    "gating": "Gated networks",
    "blockdrop": "BlockDrop",
    "sgad": "SGAD",
    "channels": "Channel groups",
    "exits": "Early exits",
    "serving": "Serving",
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
            details = [record_tables.details(record, every) for record in chosen]
            overview = record_tables.overview(chosen, every)
            sections.append({"title": title, "overview": overview, "published": published(method), "details": details})
    targets = [is_met for record in every for is_met in records.met(record).values()]
    counts = {"records": len(every), "targets": len(targets), "missed": targets.count(False)}
    page = environment.get_template("results.md").render(sections=sections, nothing=record_tables.NOTHING, **counts)
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
            links = record_tables.overview(chosen, every).replace("](#", f"]({RESULTS_PAGE}#")
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
        {path: text} of docs/results.md and, where there is one, of README.md.

    Raises:
        ValueError: If a record is malformed, or the README's markers are.
    """
    root = Path(root)
    every = records.load_all(root / RECORDS)
    readme = root / README
    result = {root / RESULTS_PAGE: results_page(every)}
    if readme.exists():
        result[readme] = fill(readme.read_text(encoding="utf-8"), every)
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
                    f"{path}: expected what the records say, got something else; run `make results`.", file=sys.stderr
                )
            return 1 if different else 0
        wanted = pages(options.root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in different:
        print(f"wrote {write_atomically(path, wanted[path])}")
    return 0


def _choose(names: str, every: Sequence[Record], page: str) -> list[Record]:
    chosen: list[Record] = []
    known = [_EVERYTHING, *METHODS, *(record.id for record in every)]
    for name in names.split() or [""]:
        if name not in known:
            raise ValueError(
                f"{page}: expected 'all', methods or ids of records after results:begin, "
                f"got {name!r}{near(name, known)}; correct the marker."
            )
        found = [record for record in every if name in (_EVERYTHING, record.method, record.id)]
        chosen += [record for record in found if record not in chosen]
    return chosen


if __name__ == "__main__":
    sys.exit(main())
