"""Labels and images as users give them: what is taken, and what is refused in one sentence."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import (
    check_classes,
    check_images,
    class_numbers,
    fit_temperature,
    predicted_class,
    softmax_variance,
)

NUMBERS = [0, 2, 1, 2]
ONE_HOT = np.eye(3)[NUMBERS]


@pytest.mark.parametrize(
    "y",
    [
        NUMBERS,
        np.array(NUMBERS, np.uint8),
        np.array(NUMBERS, np.float32)[:, None],
        ONE_HOT,
        ONE_HOT.astype(bool),
        0.9 * ONE_HOT.astype(np.float16) + np.float16(0.1 / 3),
        keras.ops.convert_to_tensor(NUMBERS),
    ],
    ids=["list", "uint8", "float column", "one-hot", "bool", "soft", "tensor"],
)
def test_labels_become_class_numbers(y):
    found = class_numbers(y, 3, 4)
    assert found.dtype == np.int64
    assert found.tolist() == NUMBERS


def test_as_many_images_as_classes_are_no_one_hot_labels():
    assert class_numbers([1, 0], 2).tolist() == [1, 0]
    assert class_numbers([[True], [False]], 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 2, 3, 1], "labels must be class numbers from 0 to 2, got some from 1 to 3; renumber"),
        ([-1, 0, 1, 2], "class numbers from 0 to 2, got some from -1 to 2"),
        ([0.5, 0.1, 1.2, 2.0], "whole numbers from 0 to 2, got fractions or NaN, as of a regression"),
        ([0.0, np.nan, 1.0, 2.0], "got fractions or NaN"),
        (["cat", "dog", "cat", "dog"], r"class numbers \[n\], or one-hot \[n, 3\], got shape \[4\] of <U3"),
        (2, r"got shape \[\] of int64"),
        (np.zeros((4, 5)), r"or one-hot \[n, 3\], got shape \[4, 5\] of float64"),
        (np.array([[1, 1, 0]] * 4), "must sum to 1 for each image, got others, as of a multi-label task"),
        (np.array([[0, 0, 0]] * 4), "as of a multi-label task"),
        (np.array([[2.0, -1.0, 0.0]] * 4), "or a regression; give one class per image"),
        (np.full((4, 3), np.nan), "must sum to 1"),
        ([0, 1, 2], "y must be 4 labels, one per image, got 3"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        class_numbers(y, 3, 4)


@pytest.mark.parametrize(
    "use",
    [
        predicted_class,
        softmax_variance,
        lambda logits: fit_temperature(logits, np.zeros(len(logits), int)),
        lambda logits: class_numbers(np.zeros(len(logits)), logits.shape[-1]),
    ],
)
def test_one_logit_has_no_class(use):
    with pytest.raises(ValueError, match="two classes or more, got 1 per image, as of a binary classifier"):
        use(np.zeros((4, 1), np.float32))


def test_an_unknown_number_of_classes_passes():
    check_classes(None, "a confidence")


def test_images_are_finite_and_there():
    check_images(np.zeros((2, 4, 4, 3), np.uint8))
    check_images([np.zeros((4, 4, 3)), np.ones((4, 4, 3))])
    with pytest.raises(ValueError, match="got none; give images"):
        check_images([])
    for wrong in (np.nan, np.inf, -np.inf, 1e39, -1e39):  # the last two are infinite in a network's float32
        images = np.zeros((3, 4, 4, 3))
        images[1, 0, 2, 1] = wrong
        with pytest.raises(ValueError, match="got NaN or infinity in image 1 of 3"):
            check_images(images)
