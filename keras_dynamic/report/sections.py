"""What a report is made of: sections of text, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

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
        alternative: What a reader who cannot see it should know.
        photographs: Whether it holds images of pixels, and so is embedded as WebP instead of SVG; it is tall, and what
            follows stands beside it unless it is wide.
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
        caption: What it says, over it.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""


class Folded(NamedTuple):
    """What few readers want at first: only its title is seen until it is opened.

    Attributes:
        title: What opens it.
        blocks: Texts, pictures and tables.
    """

    title: str
    blocks: Sequence[Text | Picture | Table]


Block: TypeAlias = Text | Picture | Table | Folded


class Section(NamedTuple):
    """A part of a report.

    Attributes:
        title: Its heading.
        render: Called with the report (the content of report.json) and {name of a system: PerImage}; returns its
            blocks. A section without blocks is left out.
    """

    title: str
    render: Callable[[Mapping[str, Any], Mapping[str, PerImage]], list[Block]]
