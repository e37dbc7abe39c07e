"""A folder of images as arrays, with and without classes, and the folders that are refused."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_dynamic.data import read_folder

SHAPE = (6, 4, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
NAMES = ("b/2.png", "a/1.png", "c/0.png", "a/0.png", "b/10.png")  # not in order


@pytest.fixture
def folder(tmp_path):
    """Folders a, b and c with the five images."""
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        save(tmp_path / "photos" / name, pixels)
    return tmp_path / "photos"


def save(path, pixels=PIXELS[0]):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_classes_are_numbered_in_the_order_of_their_names(folder):
    found = read_folder(folder, SHAPE)
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int32)
    assert found.labels.tolist() == [0, 0, 1, 1, 2]
    assert found.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(found.images, PIXELS[[3, 1, 4, 0, 2]])


@pytest.mark.ci
def test_keras_has_the_same_labels(folder):
    pytest.importorskip("tensorflow")
    data = keras.utils.image_dataset_from_directory(folder, image_size=SHAPE[:2], batch_size=None, shuffle=False)
    images, labels = zip(*data.as_numpy_iterator(), strict=True)
    found = read_folder(folder, SHAPE)
    assert (tuple(data.class_names), [int(label) for label in labels]) == (found.class_names, found.labels.tolist())
    np.testing.assert_array_equal(np.stack(images), found.images)


def test_a_folder_of_files_has_no_labels(tmp_path):
    for name, pixels in (("b.png", PIXELS[1]), ("a.png", PIXELS[0])):
        save(tmp_path / name, pixels)
    found = read_folder(str(tmp_path), SHAPE)
    assert (found.labels, found.class_names) == (None, ())
    np.testing.assert_array_equal(found.images, PIXELS[:2])


def test_hidden_files_and_folders_are_ignored(folder):
    (folder / ".git").mkdir()
    (folder / ".DS_Store").write_text("no image")
    (folder / "a" / ".thumbnails").mkdir()
    (folder / "a" / ".DS_Store").write_text("no image")
    found = read_folder(folder, SHAPE)
    assert (len(found.images), found.class_names) == (5, ("a", "b", "c"))


def test_images_come_in_the_size_and_channels_of_the_model(tmp_path):
    save(tmp_path / "grey.png", np.full((6, 4), 7, np.uint8))
    save(tmp_path / "wide.jpg", np.full((9, 30, 3), 7, np.uint8))
    np.testing.assert_array_equal(read_folder(tmp_path, (3, 5, 1)).images, np.full((2, 3, 5, 1), 7))
    assert read_folder(tmp_path, SHAPE).images.shape == (2, *SHAPE)


def refuse(folder, *words, shape=SHAPE, error=ValueError):
    """Asserts that one sentence refuses the folder, with these words."""
    with pytest.raises(error) as raised:
        read_folder(folder, shape)
    said = str(raised.value)
    assert all(word in said for word in words), said
    assert said.endswith(".")
    assert "\n" not in said


def test_no_folder(tmp_path, folder):
    refuse(tmp_path / "none", "none', which is no folder", error=NotADirectoryError)
    refuse(folder / "a" / "0.png", "0.png', which is no folder", error=NotADirectoryError)


def test_no_images(tmp_path):
    (tmp_path / ".hidden.png").touch()
    refuse(tmp_path, "expected a folder of image files, got", "which holds none; put images there")


def test_a_single_class(tmp_path):
    save(tmp_path / "train" / "0.png")
    refuse(tmp_path, "a folder for each of several classes", "got the one folder 'train'; name that one, or add")


def test_a_class_without_images(folder):
    (folder / "empty").mkdir()
    refuse(folder, "expected a folder of image files", "empty', which holds none; put images there")


def test_images_beside_classes(folder):
    save(folder / "stray.png")
    refuse(folder, "got both, the file 'stray.png' beside the folder 'a'; move the files into")


def test_folders_in_a_class(folder):
    save(folder / "b" / "more" / "0.png")
    refuse(
        folder, "expected image files in the class folder", "b', got the folder 'more'; name the folder that holds the"
    )


@pytest.mark.parametrize("kind", ["text", "cut", "deep"])
def test_a_file_that_cannot_be_read(folder, kind):
    path = folder / "b" / "bad.png"
    if kind == "deep":
        save(path, np.full((6, 4), 40000, np.uint16))
    else:
        path.write_bytes((folder / "a" / "0.png").read_bytes()[:60] if kind == "cut" else b"no image")
    refuse(folder, "expected image files, got ", "b/bad.png', which cannot be read (", "; repair it, or take it out")


@pytest.mark.parametrize("shape", [(6, 4, 4), (6, 4), (6, 4, 2), (6, None, 3)])
def test_other_inputs_than_images(folder, shape):
    refuse(folder, f"with 1 or 3 channels, as image files have, got {shape}", "an array", shape=shape)
