"""Images by what the user calls them, asked directly."""

import numpy as np
import pytest

import keras_dynamic as kd


@pytest.fixture
def images_module(module):
    return module("images")


ZOO, OWN = "zoo:resnet8_cifar10_45k", "own.keras"


@pytest.mark.parametrize(
    ("given", "models", "needed_for", "found"),
    [
        (None, [ZOO, ZOO], "--macs", "shipped"),
        (None, [ZOO], None, None),
        (None, [OWN], None, None),
        ("shipped", [OWN], "--macs", "shipped"),
        (".", [OWN], None, "."),
    ],
)
def test_what_ships_is_for_the_zoo(images_module, given, models, needed_for, found):
    assert images_module.chosen("calibration", given, models, needed_for) == found


def test_other_models_need_images_of_their_own(images_module):
    with pytest.raises(
        ValueError, match=r"^int8 needs images like those that own.keras was trained on, got none; give"
    ):
        images_module.chosen("calibration", None, [ZOO, OWN], "int8")
    with pytest.raises(FileNotFoundError, match="--images must name images, got 'none', which does not exist; give a"):
        images_module.chosen("images", "none", [OWN], "a measurement")


def test_pixels_are_normalised(images_module):
    pixels = np.array([[0, 51, 255]], np.uint8)
    for nothing in (None, (0.0, 1.0), ([0, 0, 0], [1, 1, 1])):
        assert images_module.normalised(pixels, nothing) is pixels
    found = images_module.normalised(pixels, (127.5, 127.5))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-1, -0.6, 1]])
    np.testing.assert_allclose(images_module.normalised(pixels, ([0, 1, 5], [1, 2, 5])), [[0, 25, 50]])


def test_classes_are_those_of_the_model(images_module, model):
    check, images = images_module.check_classes, images_module.Images
    check("images", "own", images(), model)  # an array does not tell
    check("images", "own", images(class_names=("a", "b", "c", "d")), model)
    check("images", "shipped", images(class_names=kd.data.shipped().class_names), kd.zoo.load("resnet8_cifar10_45k"))
    with pytest.raises(ValueError, match=r"--images must show the model's 4 classes, got 2 in 'own' \(a, b\); give"):
        check("images", "own", images(class_names=("a", "b")), model)


@pytest.mark.parametrize(("name", "wrong"), [("x", "text"), ("y", "text"), ("x", 1j)])
def test_arrays_of_no_numbers_are_named(images_module, tmp_path, name, wrong):
    arrays = {"x": np.zeros((2, 4, 4, 3)), "y": np.zeros(2, int), name: np.array([wrong, wrong])}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz must hold numbers, got {name} of .*; convert it"):
        images_module.read_images(str(tmp_path / "a.npz"), (4, 4, 3))
