"""Files that appear whole or not at all: written under a temporary name and then moved into place."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_PARTIAL = ".partial_"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path in the same folder; what is written there becomes the file when the block ends.

    Args:
        path: of the file; missing folders are made. After an error in the block it stays as it was.

    Raises:
        OSError: if the disk, or what the user may fill of it, is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_PARTIAL}{os.getpid()}_{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(
            f"there is no room for {str(path)!r} ({error.strerror}), what was there before is kept; make room and run "
            "the same command again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Yields a temporary folder beside a path; it becomes the path's folder, new or empty so far, when the block ends.

    Args:
        path: of the folder. After an error in the block there is nothing of it.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        os.replace(temporary, path)  # an empty folder gives way
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Keeps other processes that ask for the same lock out of a folder until the block ends or the process does.

    Windows has no such locks; there, nobody is kept out.

    Args:
        folder: that is there.

    Raises:
        BlockingIOError: if another process, or another block of this one, has it locked.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"another run is writing into {str(folder)!r}; wait for its end, or give a folder of its own."
            ) from None
        yield
    finally:
        os.close(handle)


def remove_partial(folder: Path | str) -> None:
    """Deletes what killed processes left below a folder of files and folders that were to appear as a whole."""
    for left in list(Path(folder).rglob(f"{_PARTIAL}*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


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
