"""Image files as networks take them; tests/tflite has what the scripts say of broken ones."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_dynamic.data import decode_image, image_files, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)


def test_files_come_by_name_without_hidden_ones_and_folders(tmp_path):
    for name in ("b.png", "a.jpg", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.jpg", "b.png"]


def test_a_folder_that_is_missing_or_empty(tmp_path):
    with pytest.raises(NotADirectoryError, match="got 'nowhere', which is no folder"):
        image_files("nowhere")
    with pytest.raises(ValueError, match=r"got .*, which holds none; put images there"):
        image_files(tmp_path)


def test_pixels_are_the_files(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    found, note = read_image(tmp_path / "image.png", (6, 4, 3))
    np.testing.assert_array_equal(found, PIXELS)
    assert note == ""


def test_other_sizes_are_resized_and_noted_and_grey_is_one_channel(tmp_path):
    Image.fromarray(np.full((6, 4, 3), 7, np.uint8)).save(tmp_path / "image.png")
    found, note = read_image(tmp_path / "image.png", (3, 5, 1))
    np.testing.assert_array_equal(found, np.full((3, 5, 1), 7))
    assert note == "resized from 4x6 to 5x3"


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(PIXELS).save(tmp_path / "image.png", exif=exif)
    found, _ = read_image(tmp_path / "image.png", (4, 6, 3))
    np.testing.assert_array_equal(found, np.rot90(PIXELS, -1))


def test_what_is_no_image(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"cannot read image .*text.png, so it is left out: .*\.$"):
        read_image(tmp_path / "text.png", (6, 4, 3))


def test_the_bytes_of_a_file():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    np.testing.assert_array_equal(decode_image(file.getvalue(), (6, 4, 3)), PIXELS)
    assert decode_image(file.getvalue(), (3, 5, 1)).shape == (3, 5, 1)
    with pytest.raises(ValueError, match=r"a whole PNG or JPEG file, got a broken one: .*\.$"):
        decode_image(file.getvalue()[:-40], (6, 4, 3))
    for kind in ("BMP", "GIF"):
        other = io.BytesIO()
        Image.fromarray(PIXELS).save(other, kind)
        with pytest.raises(ValueError, match="expected a PNG or JPEG file, got other bytes"):
            decode_image(other.getvalue(), (6, 4, 3))
