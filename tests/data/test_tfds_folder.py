import os
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.data import load, load_arrays
from keras_dynamic.data.datasets import load_tfds, tfds_names
from tests.data.folders import CLASSES, example, image, prepare

pytest.importorskip("tensorflow_datasets")


def test_a_set_without_code_is_read_in_the_order_of_its_ids(tmp_path):
    order = [4, 1, 0, 3, 2]
    prepare(tmp_path, "owls", {"train": [example(n) for n in order], "test": [example(n) for n in (8, 7)]})
    data = load("owls", tmp_path)
    assert np.array_equal(data.x_train, np.stack([image(n) for n in range(5)]))
    assert data.y_train.tolist() == [0, 1, 2, 0, 1]
    assert data.y_train.dtype == np.int32
    assert np.array_equal(data.x_test, np.stack([image(7), image(8)]))
    assert data.y_test.tolist() == [1, 2]
    assert data.class_names == tuple(CLASSES)


def test_an_npz_file_of_the_same_name_goes_first(tmp_path):
    prepare(tmp_path, "owls", {"train": [example(0)], "test": [example(1)]})
    x, y = np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1])
    np.savez(tmp_path / "owls.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert load("owls", tmp_path).x_train.shape == (2, 4, 4, 1)


def test_images_of_undeclared_but_equal_size_are_read(tmp_path):
    splits = {"train": [example(n) for n in range(3)], "validation": [example(9)]}
    prepare(tmp_path, "owls", splits, shape=(None, None, 3), drop=["id"])
    data = load("owls", tmp_path)
    assert np.array_equal(data.x_train, np.stack([image(n) for n in range(3)]))
    assert np.array_equal(data.x_test, image(9)[None])


def test_images_of_varying_size_are_refused(tmp_path):
    splits = {"train": [example(0), example(1, image=image(1, 7, 6))], "test": [example(2)]}
    prepare(tmp_path, "owls", splits, shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"'owls' to be of one size, got \(5, 6, 3\) and \(7, 6, 3\), .* owls.npz"):
        load("owls", tmp_path)


def test_a_set_without_labels_is_refused(tmp_path):
    prepare(tmp_path, "owls", {"train": [example(0)], "test": [example(1)]}, drop=["label"])
    with pytest.raises(ValueError, match=r"'owls' to be an image classification set .* got id, image; save"):
        load("owls", tmp_path)


def test_a_set_without_a_test_split_is_refused(tmp_path):
    prepare(tmp_path, "owls", {"train": [example(0)]})
    with pytest.raises(ValueError, match=r"'owls' to have the splits train and test .*, got train; split it"):
        load("owls", tmp_path)


def test_a_test_split_without_labels_is_passed_over(tmp_path):
    splits = {"train": [example(0)], "test": [example(1, label=-1)], "validation": [example(2)]}
    prepare(tmp_path, "owls", splits)
    data = load("owls", tmp_path)
    assert (data.y_test.tolist(), np.array_equal(data.x_test, image(2)[None])) == ([2], True)


def test_a_folder_that_was_not_prepared_is_told_so(tmp_path):
    (tmp_path / "owls").mkdir()
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    for name in ("owls", "cifar10"):
        with pytest.raises(FileNotFoundError, match=f"a prepared TFDS set '{name}' in {tmp_path}, got a folder"):
            load(name, tmp_path)


def test_a_known_set_that_the_folder_lacks_is_no_unknown_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"got neither mnist.npz .* nor a TFDS folder mnist/"):
        load("mnist", tmp_path)


def test_the_known_names_are_those_of_tfds():
    assert {"cifar10", "cifar100", "mnist", "imagenet2012"} <= set(tfds_names())


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="DATA_DIR names no folder with cifar10.npz and tfds/cifar10/")
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_the_same_from_tfds_as_from_arrays(name):
    folder = Path(os.environ["DATA_DIR"])
    if not (folder / "tfds" / name).is_dir():
        pytest.skip(f"DATA_DIR has no TFDS folder tfds/{name}")
    for read, expected in zip(load_tfds(name, folder / "tfds"), load_arrays(folder / f"{name}.npz"), strict=True):
        assert np.array_equal(read, expected)
