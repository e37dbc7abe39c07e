"""Files appear whole or not at all."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.files import locked, read_arrays, read_json, replacing, write_bytes, write_json, write_text


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


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"3", b"\xff\xfe", b'{"a":' * 100_000, b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "no UTF-8", "deep", "deep list"],
)
def test_what_is_no_json_object(tmp_path, content):
    path = write_bytes(tmp_path / "a.json", content)
    with pytest.raises(ValueError, match=r"a\.json: expected a JSON object, got .*; write it again\.$"):
        read_json(path, "write it again")


def test_a_json_object_comes_back(tmp_path):
    assert read_json(write_json(tmp_path / "a.json", {"é": 1}), "") == {"é": 1}


ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bc"])}


def test_arrays_come_back(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    assert read_arrays(tmp_path / "a.npz", names=["x", "y"]).keys() == {"x"}
    np.save(tmp_path / "a.npy", ARRAYS["x"])
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy", of_npy="x")["x"], ARRAYS["x"])


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def zipped(member=b"", name="x.npy", **facts):
    """Returns a zip archive of one member; facts are what its list of members says of it, which may be wrong."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, member)
        for key, value in facts.items():
            setattr(file.getinfo(name), key, value)
    return content.getvalue()


class Caught:
    """Says when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


WHOLE = zipped(npy(ARRAYS["x"]))
DAMAGED = {
    "empty": b"",
    "text": b"no archive",
    "cut": WHOLE[:-10],
    "npy": npy(ARRAYS["x"]),
    "pickle": pickle.dumps(Caught()),
    "object array": zipped(npy(np.array([Caught(), None], object))),
    "no array": zipped(b"some text"),
    "no member of that name": zipped(npy(ARRAYS["x"])).replace(b"x.npy", b"y.npy", 1),
    "damaged header": zipped(npy(ARRAYS["x"]).replace(b"'shape': (2, 3)", b"'shape': ((((((")),
    "no header": zipped(npy(ARRAYS["x"]).replace(b"{'descr'", b'"""escr\'')),
    "a shape beyond the values": zipped(npy(ARRAYS["x"]).replace(b"(2, 3)", b"(2, 4)")),
    "a shape beyond any memory": zipped(npy(ARRAYS["x"]).replace(b"(2, 3), }         ", b"(200000000000, 3)}")),
    "damaged bytes": WHOLE[:60] + bytes([WHOLE[60] ^ 255]) + WHOLE[61:],
    "another compression": zipped(npy(ARRAYS["x"]), compress_type=77),
    "encrypted": zipped(npy(ARRAYS["x"]), flag_bits=1),
    "more than the memory": zipped(npy(ARRAYS["x"]), file_size=1 << 50),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives_are_refused_in_one_sentence(tmp_path, content):
    path = write_bytes(tmp_path / "a.npz", content)
    with pytest.raises(
        ValueError, match=r"a\.npz to be an \.npz file of plain arrays, got one that cannot be read .*; write it anew"
    ):
        read_arrays(path)


def test_a_bomb_is_named(tmp_path):
    path = write_bytes(tmp_path / "a.npz", DAMAGED["more than the memory"])
    with pytest.raises(ValueError, match="it unpacks to 1,125,899,906,842,624 bytes, more than the memory of this"):
        read_arrays(path)


def test_a_damaged_npy_and_a_folder(tmp_path):
    path = write_bytes(tmp_path / "a.npy", npy(ARRAYS["x"])[:-8])
    for each in (path, tmp_path):
        with pytest.raises(
            ValueError, match=r"to be an \.npy or \.npz file of plain arrays, got one that cannot be read"
        ):
            read_arrays(each, of_npy="x")


def test_a_path_in_an_archive_is_a_name_and_nothing_is_written(tmp_path):
    path = write_bytes(tmp_path / "in" / "a.npz", zipped(npy(ARRAYS["x"]), "../out.npy"))
    assert read_arrays(path).keys() == {"../out"}
    assert [child.name for child in tmp_path.iterdir()] == ["in"]


def test_arrays_are_read_where_the_system_does_not_tell_its_memory(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    monkeypatch.delattr("os.sysconf")
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["x"], [0, 1, 2])
