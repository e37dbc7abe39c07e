"""Several runs in one report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_dynamic.files import read_json
from keras_dynamic.report.html import write_report
from keras_dynamic.report.schema import PRECISIONS, check_report
from keras_dynamic.report.system_sections import short_table


def compare(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Joins the reports of runs that were judged on the same images.

    Args:
        reports: {name: content of a run's report.json}, at least one.

    Returns:
        One report: the static networks of all runs, the first cascade frontier that was measured, and each run's system
        under the run's name, or 'NAME-SYSTEM' where it has several. Times are left out, as those of different runs do
        not compare.

    Raises:
        ValueError: If there is no report, one is malformed, or they were judged on different images.

    Source:
        Herrmann et al., figure 6.
    """
    if not reports:
        raise ValueError("Expected at least one report to compare, got none; give {name: report}.")
    for report in reports.values():
        check_report(report)
    judged = {name: report.get("data") for name, report in reports.items()}
    if len(set(judged.values())) > 1:
        raise ValueError(f"Expected runs that were judged on the same images, got {judged}; leave the others out.")
    found: dict[str, Any] = {"static": {}, "systems": {}, "data": next(iter(judged.values()))}
    for name, report in reports.items():
        found["static"] |= {each: _untimed(figures) for each, figures in report["static"].items()}
        for system, figures in report["systems"].items():
            own = name if len(report["systems"]) == 1 else f"{name}-{system}"
            found["systems"][own] = _untimed(figures)
        found.setdefault("images", report.get("images"))
        if report.get("cascade_frontier"):
            found.setdefault("cascade_frontier", report["cascade_frontier"])
    return {key: value for key, value in found.items() if value is not None}


def _untimed(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key not in PRECISIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report of several runs, and prints their table.

    Args:
        arguments: The command line; None for the process's own.

    Returns:
        0, or 1 if a run has no report or they do not compare.
    """
    parser = argparse.ArgumentParser(description="Put the systems of several runs into one report.")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help="what to call a run, and its folder")
    parser.add_argument("--directory", type=Path, required=True, help="where to write report.html and the pictures")
    options = parser.parse_args(arguments)
    try:
        runs = [_read(run) for run in options.runs]
        names = [name for name, _ in runs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Expected a name of its own for each run, got {twice} more than once; rename them.")
        joined = compare(dict(runs))
        page = write_report(joined, {}, options.directory)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{short_table(joined)}\n\n{page}")
    return 0


def _read(run: str) -> tuple[str, dict[str, Any]]:
    name, equals, folder = run.partition("=")
    path = Path(folder) / "report.json"
    if not equals or not path.is_file():
        raise ValueError(f"Expected NAME=FOLDER with a report.json in the folder, got {run!r}; train that run first.")
    return name, read_json(path, "train that run again")


if __name__ == "__main__":
    sys.exit(main())
