"""Files appear whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.files import locked, replacing, write_bytes, write_json, write_text


def test_writes_text_and_bytes_and_leaves_nothing_else(tmp_path):
    path = write_text(tmp_path / "new" / "page.txt", "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [child.name for child in path.parent.iterdir()] == ["page.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    folder = tmp_path / "taken"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_text(folder, "a file cannot replace a folder")
    assert [child.name for child in tmp_path.iterdir()] == ["taken"]


def fails(path):
    with replacing(path) as temporary:
        assert temporary.suffix == path.suffix, "Keras and NumPy choose the format by the end of the name"
        temporary.write_bytes(b"new")
        raise ZeroDivisionError


def test_an_error_in_the_block_keeps_the_old_file(tmp_path):
    path = write_bytes(tmp_path / "model.keras", b"old")
    with pytest.raises(ZeroDivisionError):
        fails(path)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["model.keras"]


def test_json_is_replaced_as_a_whole(tmp_path):
    write_json(tmp_path / "a.json", {"x": np.arange(3), "y": np.float64(0.5)})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [0, 1, 2], "y": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


_LOCKED = """
import sys
sys.path.insert(0, sys.argv[2])
from keras_dynamic.files import locked
try:
    with locked(sys.argv[1]):
        print("free")
except BlockingIOError as error:
    print(error)
"""


def lock_elsewhere(folder):
    """Returns what another process that locks the folder says."""
    import keras_dynamic

    command = [sys.executable, "-c", _LOCKED, str(folder), str(Path(keras_dynamic.__file__).parents[1])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_lock_keeps_other_processes_out_until_its_block_ends(tmp_path):
    with locked(tmp_path):
        assert lock_elsewhere(tmp_path) == (
            f"another run is writing into {str(tmp_path)!r}; wait for its end, or give a folder of its own."
        )
    assert lock_elsewhere(tmp_path) == "free"
    assert list(tmp_path.iterdir()) == []


_FULL = """
import resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.path.insert(0, sys.argv[2])
from keras_dynamic.files import replacing
try:
    with replacing(sys.argv[1]) as temporary:
        np.savez(temporary, weights=np.zeros(1000))
except OSError as error:
    print(error)
"""


def test_a_full_disk_keeps_the_old_file(tmp_path):
    import keras_dynamic

    path = write_bytes(tmp_path / "latest.npz", b"old")
    command = [sys.executable, "-c", _FULL, str(path), str(Path(keras_dynamic.__file__).parents[1])]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"there is no room for {str(path)!r} (File too large), what was there before is kept; make")
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["latest.npz"]
