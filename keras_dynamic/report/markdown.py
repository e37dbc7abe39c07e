"""Markdown that pages are made of."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table.

    Args:
        header: Titles of the columns.
        rows: A text for each column.

    Returns:
        Markdown. What could end a cell or a row is made harmless.
    """
    lines = [list(header), ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
