"""Files appear whole or not at all."""

import pytest

from keras_dynamic.report.html import write_atomically


def test_writes_text_and_bytes_and_leaves_nothing_else(tmp_path):
    path = write_atomically(tmp_path / "new" / "page.txt", "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [child.name for child in path.parent.iterdir()] == ["page.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    folder = tmp_path / "taken"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, "a file cannot replace a folder")
    assert [child.name for child in tmp_path.iterdir()] == ["taken"]
