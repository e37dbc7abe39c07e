"""Image files as networks take them; tests/tflite has what the scripts say of broken ones."""

import io
import os
import struct
import zlib

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


@pytest.fixture
def pipe(tmp_path):
    """A named pipe; should something wait for its contents, it gets an end after all."""
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    yield path
    os.close(held)


def test_a_pipe_is_listed_and_refused_not_waited_for(pipe):
    assert image_files(pipe.parent) == [pipe]
    with pytest.raises(ValueError, match=r"pipe.png, so it is left out: it is a pipe, a socket or a device\.$"):
        read_image(pipe, (6, 4, 3))


def test_a_device_and_a_folder_are_no_images(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read image /dev/zero, .*: it is a pipe, a socket or a device\.$"):
        read_image("/dev/zero", (6, 4, 3))
    with pytest.raises(ValueError, match=r"so it is left out: Is a directory\.$"):
        read_image(tmp_path, (6, 4, 3))


def test_a_link_to_nothing_is_listed_and_refused(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
    assert image_files(tmp_path) == [tmp_path / "link.png"]
    with pytest.raises(ValueError, match=r"so it is left out: No such file or directory\.$"):
        read_image(tmp_path / "link.png", (6, 4, 3))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_that_is_cut_short(kind, tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(content, kind)
    (tmp_path / "cut").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    with pytest.raises(ValueError, match=r"cannot read image .*cut, so it is left out: "):
        read_image(tmp_path / "cut", (6, 4, 3))


def test_an_image_that_would_fill_the_memory(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)  # of 4.8 GB of pixels
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "large.png").write_bytes(made)
    with pytest.raises(ValueError, match=r"large.png, so it is left out: Image size \(1600000000 pixels\) exceeds"):
        read_image(tmp_path / "large.png", (6, 4, 3))


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
