import os
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.data import hold_out, load, load_arrays, shipped

ARRAYS = {
    "x_train": np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3),
    "y_train": np.array([0, 1, 2, 1]),
    "x_test": np.ones((2, 5, 6, 3), np.uint8),
    "y_test": np.array([2, 0]),
}


def test_the_shipped_set_needs_no_folder():
    data, parts = load("shipped"), shipped()
    assert len(data.x_train) == 4000
    assert np.array_equal(data.x_test, parts.x_test)
    (x, y), (x_held, y_held) = hold_out(data.x_train, data.y_train, 500)
    assert np.array_equal(x, parts.x_gates)
    assert np.array_equal(y, parts.y_gates)
    assert np.array_equal(x_held, parts.x_heldout)
    assert np.array_equal(y_held, parts.y_heldout)
    assert data.class_names == parts.class_names


def test_plain_arrays_are_found_by_name(tmp_path):
    np.savez(tmp_path / "owls.npz", **ARRAYS, class_names=["barn", "eagle", "snowy"], extra=[1])
    data = load("owls", tmp_path)
    assert all(np.array_equal(getattr(data, key), value) for key, value in ARRAYS.items())
    assert data.class_names == ("barn", "eagle", "snowy")
    assert np.array_equal(load("owls", str(tmp_path)).x_train, load_arrays(tmp_path / "owls.npz").x_train)


def test_class_names_may_be_left_out(tmp_path):
    np.savez(tmp_path / "owls.npz", **ARRAYS)
    assert load_arrays(tmp_path / "owls.npz").class_names == ("0", "1", "2")


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    np.savez(tmp_path / "owls.npz", **ARRAYS)
    with pytest.raises(ValueError, match=r"got 'cifr10' \(did you mean 'cifar10'\?\); use one of shipped, cifar10"):
        load("cifr10")
    with pytest.raises(ValueError, match=r"got 'owl' \(did you mean 'owls'\?\); .* owls or a name of TensorFlow"):
        load("owl", tmp_path)
    with pytest.raises(ValueError, match=r"did you mean 'shipped'"):
        load("Shipped", tmp_path)


def test_a_folder_without_the_set_is_told_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load("cifar10", tmp_path)
    assert all(part in str(error.value) for part in (str(tmp_path), "cifar10.npz", "cifar10/", "x_train", "tfds.load"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere', which is no folder; create it and put cifar10.npz"):
        load("cifar10", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"owls.npz', which is no file"):
        load_arrays(tmp_path / "owls.npz")


def test_a_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "owls.npz", x_train=ARRAYS["x_train"], y_train=ARRAYS["y_train"])
    with pytest.raises(ValueError, match=r"got x_train, y_train; add x_test, y_test"):
        load("owls", tmp_path)


def test_a_bad_array_is_named(tmp_path):
    np.savez(tmp_path / "owls.npz", **{**ARRAYS, "x_train": ARRAYS["x_train"] / 255})
    with pytest.raises(ValueError, match=r"x_train to be uint8 .* got float64 \[4, 5, 6, 3\]"):
        load("owls", tmp_path)


def test_an_unreadable_file_is_told_so(tmp_path):
    np.savez(tmp_path / "good.npz", **ARRAYS)
    content = (tmp_path / "good.npz").read_bytes()
    damaged = bytearray(content)
    damaged[200] ^= 255
    pickled = dict(ARRAYS, class_names=np.array(["a", None, {}], object))
    np.savez(tmp_path / "pickled.npz", **pickled)
    cases = {"text": b"no archive", "empty": b"", "cut": content[: len(content) // 2], "damaged": bytes(damaged)}
    for name, wrong in cases.items():
        (tmp_path / f"{name}.npz").write_bytes(wrong)
    for name in [*cases, "pickled"]:
        with pytest.raises(ValueError, match=rf"{name}.npz to be an .npz file of plain arrays, got one that cannot"):
            load(name, tmp_path)


@pytest.mark.parametrize("names", [np.array("owl"), np.array([1, 2, 3]), np.array([b"a", b"b", b"c"])])
def test_class_names_that_are_no_list_of_strings(names, tmp_path):
    np.savez(tmp_path / "owls.npz", **ARRAYS, class_names=names)
    with pytest.raises(ValueError, match=r"Expected class_names in .*owls\.npz to be strings \[classes\], got"):
        load("owls", tmp_path)


def test_without_tfds_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    for name, kind, said in (
        ("cifar10", ImportError, "Expected tensorflow-datasets, which reads the TFDS folder of 'cifar10'"),
        ("owls", ValueError, "Expected the name of an image set, got 'owls'"),
    ):
        with pytest.raises(kind) as raised:
            load(name, tmp_path)
        assert str(raised.value).startswith(said)
        assert "keras_dynamic[data]" in str(raised.value)


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="DATA_DIR names no folder with cifar10.npz")
def test_the_whole_of_cifar10():
    data = load("cifar10", os.environ["DATA_DIR"])
    assert data.x_train.shape == (50000, 32, 32, 3)
    assert data.x_test.shape == (10000, 32, 32, 3)
    assert np.bincount(data.y_train).tolist() == [5000] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert np.array_equal(data.x_train[45000:48500], shipped().x_gates)
    assert Path(os.environ["DATA_DIR"], "cifar10.npz").is_file()
