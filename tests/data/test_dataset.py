import numpy as np
import pytest

from keras_dynamic.data import from_arrays

GOOD = {
    "x_train": np.zeros((4, 5, 6, 3), np.uint8),
    "y_train": np.array([0, 1, 2, 1], np.uint8),
    "x_test": np.ones((2, 5, 6, 3), np.uint8),
    "y_test": np.array([2, 0], np.int64),
}


def test_good_arrays_are_taken():
    data = from_arrays(**GOOD)
    assert data.x_train is GOOD["x_train"]
    assert data.x_test is GOOD["x_test"]
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.y_train.tolist() == [0, 1, 2, 1]
    assert data.y_test.tolist() == [2, 0]
    assert data.class_names == ("0", "1", "2")


def test_class_names_may_outnumber_the_labels():
    data = from_arrays(**GOOD, class_names=np.array(["cat", "dog", "owl", "yak"]))
    assert data.class_names == ("cat", "dog", "owl", "yak")
    assert type(data.class_names[0]) is str


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_train", np.zeros((4, 5, 6, 3), np.float32), r"x_train to be uint8 .* got float32 \[4, 5, 6, 3\]; convert"),
        ("x_test", np.zeros((2, 5, 6), np.uint8), r"x_test to be uint8 .* got uint8 \[2, 5, 6\]"),
        ("x_test", np.zeros((2, 7, 6, 3), np.uint8), r"of one size, got \(5, 6, 3\) and \(7, 6, 3\)"),
        ("x_train", np.zeros((0, 5, 6, 3), np.uint8), r"got uint8 \[0, 5, 6, 3\]"),
        ("y_train", np.zeros(4, np.float32), r"y_train to be integers \[4\], .* got float32 \[4\]"),
        ("y_train", np.zeros((4, 1), np.int32), r"got int32 \[4, 1\]; save y_train.reshape\(-1\)"),
        ("y_test", np.zeros(3, np.int32), r"y_test to be integers \[2\], .* got int32 \[3\]"),
        ("y_test", np.array([-1, 0]), "labels from 0 to 2, one per class name, got -1 to 2"),
    ],
)
def test_bad_arrays_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**{**GOOD, name: value})


def test_labels_without_a_class_are_refused():
    with pytest.raises(ValueError, match="labels from 0 to 1, one per class name, got 0 to 2"):
        from_arrays(**GOOD, class_names=["cat", "dog"])
