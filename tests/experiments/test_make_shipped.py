import os
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.data import Shipped, load_arrays, shipped
from keras_dynamic.data.shipped import PARTS
from keras_dynamic.experiments.make_shipped import digest, main, write


def small():
    rng = np.random.default_rng(0)
    arrays = []
    for n in (100, 50, 50):
        colours = rng.integers(0, 256, (n, 1, 1, 3), dtype=np.uint8)
        arrays += [np.tile(colours, (1, 32, 32, 1)), rng.integers(0, 10, n, dtype=np.int32)]
    return Shipped(*arrays, class_names=tuple("abcdefghij"))


def test_what_is_written_reads_back(tmp_path):
    data = small()
    files = write(data, tmp_path / "new")
    assert sorted(f.name for f in files) == sorted(f.name for f in (tmp_path / "new").iterdir())
    for written, read in zip(data, shipped(tmp_path / "new"), strict=True):
        assert np.array_equal(written, read)


def test_the_digest_sees_pixels_and_labels():
    data = small()
    pixels, labels = data.x_test.copy(), data.y_test.copy()
    pixels[3, 4, 5, 2] ^= 1
    labels[7] = (labels[7] + 1) % 10
    assert digest(data, "test") == digest(small(), "test")
    assert digest(data._replace(x_test=pixels), "test") != digest(data, "test")
    assert digest(data._replace(y_test=labels), "test") != digest(data, "test")


def test_other_images_than_cifar10_are_refused(tmp_path, monkeypatch):
    x, y = np.zeros((50000, 32, 32, 3), np.uint8), np.zeros(50000, np.int32)
    np.savez(tmp_path / "zeros.npz", x_train=x, y_train=y, x_test=x[:1000], y_test=y[:1000])
    monkeypatch.setattr(sys, "argv", ["make_shipped", "--npz", f"{tmp_path}/zeros.npz", "--out", f"{tmp_path}/out"])
    with pytest.raises(ValueError, match="in the order of its original files, got other images or labels"):
        main()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="DATA_DIR names no folder with cifar10.npz")
def test_the_shipped_files_can_be_made_anew(tmp_path, monkeypatch):
    npz = Path(os.environ["DATA_DIR"]) / "cifar10.npz"
    assert len(load_arrays(npz).x_train) == 50000
    monkeypatch.setattr(sys, "argv", ["make_shipped", "--npz", str(npz), "--out", str(tmp_path)])
    main()
    made = shipped(tmp_path)
    assert all(digest(made, part) == digest(shipped(), part) for part in PARTS)
