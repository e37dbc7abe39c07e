"""What a report is made of: sections of text, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from keras_dynamic.report import formatting
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.style import Figure


class Text(NamedTuple):
    """Sentences.

    Attributes:
        sentences: In their order.
        listed: As a list instead of a paragraph.
    """

    sentences: Sequence[str]
    listed: bool = False


class Picture(NamedTuple):
    """A figure.

    Attributes:
        name: Name of its file under pictures/, without ending.
        figure: A matplotlib figure (style.new_figure).
        caption: What it shows, under it.
        alternative: The same in words, for a reader who cannot see it.
        photographs: Whether it holds images of pixels, and so is embedded as WebP instead of SVG.
        wide: Whether it stands alone in its row.
    """

    name: str
    figure: Figure
    caption: str
    alternative: str
    photographs: bool = False
    wide: bool = False


class Cell(NamedTuple):
    """One entry of a table.

    Attributes:
        text: The figure.
        note: A smaller remark under it.
        tone: 'good', 'bad' or ''.
    """

    text: str
    note: str = ""
    tone: str = ""


class Table(NamedTuple):
    """A table; the first cell of each row names the row.

    Attributes:
        header: One word per column.
        rows: One Cell or text per column.
        caption: Its title.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""


Block: TypeAlias = Text | Picture | Table


class Section(NamedTuple):
    """A part of a report.

    Attributes:
        title: Its heading.
        render: Called with the report (the content of report.json) and {name of a system: PerImage}; returns its
            blocks. A section without blocks is left out.
        folded: Whether only its title is seen until it is opened.
    """

    title: str
    render: Callable[[Mapping[str, Any], Mapping[str, PerImage]], list[Block]]
    folded: bool = True


def table_of(rows: Iterable[Any], columns: Mapping[str, str | Callable[[Any], Cell | str]], caption: str = "") -> Table:
    """Makes a table of mappings, one per row.

    Args:
        rows: The mappings.
        columns: {heading: key of the row, printed in the unit of its name, or a function of the row}.
        caption: The table's title.

    Returns:
        The table.
    """

    def cell(row: Any, column: str | Callable[[Any], Cell | str]) -> Cell | str:
        return formatting.show(column, row.get(column)) if isinstance(column, str) else column(row)

    return Table(list(columns), [[cell(row, column) for column in columns.values()] for row in rows], caption)
