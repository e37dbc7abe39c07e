"""Writes a report: report.json, one self-contained report.html, and the pictures as PNG files."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_dynamic.files import write_bytes, write_text
from keras_dynamic.report import style
from keras_dynamic.report.schema import PerImage, check_evaluations, check_report, plain
from keras_dynamic.report.sections import Block, Cell, Section, Table, Text
from keras_dynamic.report.system_sections import default_sections

TEMPLATES = Path(__file__).parent / "templates"
TITLE = "Dynamic networks, measured"
_FACTS = ("data", "command", "machine", "date", "commit", "seed")


def write_report(
    report: Mapping[str, Any],
    evaluations: Mapping[str, PerImage],
    directory: Path | str,
    sections: Sequence[Section] | None = None,
) -> Path:
    """Writes report.json, report.html and pictures/NAME.png.

    Everything is drawn before the first file is written, and each file appears whole.

    Args:
        report: What report.json is to hold: {"static": ..., "systems": {name: ...}}, perhaps with "cascade_frontier"
            [[macs, accuracy, label], ...] and facts for the head of the page (data, command, machine, date, commit,
            seed). Numbers may be NumPy's.
        evaluations: {name of a system: PerImage}; what is missing is not pictured. Their number becomes "images" in
            report.json unless the report states it.
        directory: Where to write; made if it does not exist.
        sections: What the page holds; None for default_sections(report).

    Returns:
        The path of report.html.

    Raises:
        ValueError: If a key that every report has is missing, a number is not finite, or an evaluation does not fit.
    """
    check_report(report)
    content = plain(report)
    check_evaluations(content, evaluations)
    for evaluation in evaluations.values():
        content.setdefault("images", len(evaluation.labels))
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"Expected finite numbers in the report, got one that is not ({error}); leave it out."
        ) from error
    page, files = render(content, evaluations, default_sections(content) if sections is None else sections)
    directory = Path(directory)
    for name, image in files.items():
        write_bytes(directory / "pictures" / f"{name}.png", image)
    write_text(directory / "report.json", text + "\n")
    return write_text(directory / "report.html", page)


def render(
    report: Mapping[str, Any],
    evaluations: Mapping[str, PerImage],
    sections: Sequence[Section],
    title: str = TITLE,
) -> tuple[str, dict[str, bytes]]:
    """Draws a page.

    Args:
        report: A report that passed schema.check_report.
        evaluations: {name of a system: PerImage}.
        sections: What the page holds.
        title: Of the page.

    Returns:
        The HTML, with every picture inside it, and {name of a picture: PNG file}.

    Raises:
        ValueError: If two pictures have the same name.
    """
    import jinja2
    import matplotlib

    files: dict[str, bytes] = {}
    shown = []
    with matplotlib.rc_context({"text.parse_math": False}):  # names of classes may hold a $
        for section in sections:
            blocks = [_prepare(block, files) for block in section.render(report, evaluations)]
            if blocks:
                shown.append({"title": section.title, "blocks": blocks, "folded": section.folded})
    facts = {name: report[name] for name in _FACTS if report.get(name) is not None}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("report.html")
    return template.render(title=title, facts=facts, sections=shown) + "\n", files


def _prepare(block: Block, files: dict[str, bytes]) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"kind": "text", "sentences": block.sentences, "listed": block.listed}
    if isinstance(block, Table):
        rows = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in block.rows]
        return {"kind": "table", "header": block.header, "rows": rows, "caption": block.caption}
    if block.name in files:
        raise ValueError(f"Expected pictures of different names, got {block.name!r} twice; rename one.")
    files[block.name] = style.png(block.figure, 140 if block.photographs else 200)
    image, kind = (_small(files[block.name]), "webp") if block.photographs else (style.svg(block.figure), "svg+xml")
    source = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    described = {"caption": block.caption, "alternative": block.alternative, "place": "full" if block.wide else "half"}
    return {"kind": "picture", "source": source, **described}


def _small(png: bytes) -> bytes:
    """The picture as WebP, a tenth of the size where it holds photographs."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "WEBP", quality=88, method=4)
    return buffer.getvalue()
