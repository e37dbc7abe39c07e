"""Files that appear whole or not at all: written under a temporary name and then moved into place."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path in the same folder; what is written there becomes the file when the block ends.

    Args:
        path: of the file; missing folders are made. After an error in the block it stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial_{os.getpid()}_{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Writes a file in one step; missing folders are made. Returns its path."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: Path | str, content: str) -> Path:
    """Writes a UTF-8 text file in one step; missing folders are made. Returns its path."""
    return write_bytes(path, content.encode())


def write_json(path: Path | str, content) -> Path:
    """Writes what json can write, NumPy numbers and arrays included, in one step. Returns the path."""
    return write_text(path, json.dumps(content, indent=2, default=plain) + "\n")


def plain(value):
    """Returns NumPy numbers and arrays, tuples and sets as what json can write: json.dumps(default=plain)."""
    return value.tolist() if hasattr(value, "tolist") else list(value)
