"""Files that appear whole or not at all, and damaged ones that are refused in one sentence.

Files are written under a temporary name and then moved into place.
"""

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

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


def read_json(path: Path | str, advice: str) -> dict[str, Any]:
    """Returns the JSON object that a UTF-8 file holds.

    Args:
        path: of the file.
        advice: what to do about a file that holds none, for the error.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON object, got no JSON ({error}); {advice}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}; {advice}.")
    return found


def read_arrays(
    path: str | os.PathLike[str],
    advice: str = "write it anew with numpy.savez",
    names: Collection[str] | None = None,
    of_npy: str | None = None,
) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file by name. Nothing in it is unpickled, or unpacked to another file.

    Args:
        path: of the file.
        advice: what to do about a file that cannot be read, for the error.
        names: of the arrays to read, where they are there; None reads all.
        of_npy: name for the array of an .npy file; None refuses such files.

    Raises:
        ValueError: if it is no whole .npz file of plain arrays, or they need more memory than the machine has.
    """
    try:
        return _arrays(path, names, of_npy)
    except Exception as error:  # of a damaged file zipfile and NumPy raise errors of a dozen types
        wanted = "an .npz file of plain arrays" if of_npy is None else "an .npy or .npz file of plain arrays"
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"Expected {path} to be {wanted}, got one that cannot be read ({reason}); {advice}."
        ) from error


def _arrays(path, names, of_npy):
    """Returns what read_arrays returns, or raises whatever zipfile and NumPy raise."""
    if not Path(path).is_file():
        raise ValueError("it is no file")
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            is_npy = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        if not is_npy:
            raise ValueError("it is no zip archive, or is cut short")
        if of_npy is None:
            raise ValueError("it holds one array without a name")
        return {of_npy: np.load(path, allow_pickle=False)}
    with np.load(path, allow_pickle=False) as file:
        size = sum(member.file_size for member in file.zip.infolist())
        if size > _memory():
            raise ValueError(f"it unpacks to {size:,} bytes, more than the memory of this machine")
        found = {name: file[name] for name in file.files if names is None or name in names}
    others = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
    if others:
        raise ValueError(f"{others[0]!r} in it is no array")
    return found


def _memory() -> float:
    """Returns the bytes of this machine's memory; infinity on Windows, where Python does not tell."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
