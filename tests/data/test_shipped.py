import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_dynamic.data import shipped
from keras_dynamic.data.shipped import FOLDER, PARTS, read_sheet, to_sheet
from keras_dynamic.experiments.make_shipped import DIGESTS, digest


def test_sizes_types_and_classes():
    data = shipped()
    assert data.x_gates.shape == (3500, 32, 32, 3)
    assert data.x_heldout.shape == (500, 32, 32, 3)
    assert data.x_test.shape == (1000, 32, 32, 3)
    assert all(getattr(data, f"x_{part}").dtype == np.uint8 for part in PARTS)
    assert all(getattr(data, f"y_{part}").dtype == np.int32 for part in PARTS)
    assert [len(getattr(data, f"y_{part}")) for part in PARTS] == [3500, 500, 1000]
    assert data.class_names == tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    assert all(set(getattr(data, f"y_{part}")) == set(range(10)) for part in PARTS)


def test_every_pixel_and_label_is_that_of_cifar10():
    data = shipped()
    assert {part: digest(data, part) for part in PARTS} == DIGESTS


def test_the_files_are_small_and_say_where_they_come_from():
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 10e6
    assert "Krizhevsky" in (FOLDER / "NOTICE.txt").read_text()


def test_a_sheet_is_laid_out_row_by_row():
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    sheet = to_sheet(images)
    assert sheet.shape == (64, 1600, 3)
    assert np.array_equal(sheet[:32, 32:64], images[1])
    assert np.array_equal(sheet[32:, :32], images[50])


def test_a_sheet_is_cut_into_its_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    Image.fromarray(to_sheet(images)).save(tmp_path / "sheet.png")
    assert np.array_equal(read_sheet(tmp_path / "sheet.png"), images)


def test_missing_files_are_named(tmp_path):
    (tmp_path / "gates.webp").write_bytes((FOLDER / "gates.webp").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"got no labels.npz, heldout.webp, test.webp; reinstall"):
        shipped(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="DATA_DIR names no folder with cifar10.npz")
def test_the_images_are_the_originals():
    data = shipped()
    with np.load(Path(os.environ["DATA_DIR"]) / "cifar10.npz") as original:
        x, y = original["x_train"], original["y_train"]
        assert np.array_equal(data.x_gates, x[45000:48500])
        assert np.array_equal(data.y_gates, y[45000:48500])
        assert np.array_equal(data.x_heldout, x[48500:49000])
        assert np.array_equal(data.y_heldout, y[48500:49000])
        assert np.array_equal(data.x_test, original["x_test"][:1000])
        assert np.array_equal(data.y_test, original["y_test"][:1000])
        assert data.class_names == tuple(original["class_names"])
