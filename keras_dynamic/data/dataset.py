"""A labelled image set held in memory, and the check that arrays form one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Images and labels for training and for judging.

    Attributes:
        x_train: uint8 [n, height, width, channels], 0 to 255.
        y_train: int32 [n], index into class_names.
        x_test: uint8 [m, height, width, channels]; used for judging only.
        y_test: int32 [m].
        class_names: one name per class, in label order.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


def from_arrays(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Makes a Dataset of plain arrays, after checking them.

    Args:
        x_train: uint8 [n, height, width, channels], 0 to 255.
        y_train: integers [n], 0 to the number of classes minus 1.
        x_test: uint8 [m, height, width, channels], of the size of x_train's images.
        y_test: integers [m].
        class_names: one name per class; None names the classes "0", "1", ... up to the largest label.

    Returns:
        The Dataset; images are not copied, labels become int32.

    Raises:
        ValueError: An array has the wrong type or shape, or a label has no class.
    """
    for split, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        _check_images(f"x_{split}", images)
        _check_labels(f"y_{split}", labels, len(images))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"Expected x_train and x_test to hold images of one size, got {x_train.shape[1:]} and {x_test.shape[1:]}; "
            f"resize one of them."
        )
    largest = int(max(y_train.max(), y_test.max()))
    names = tuple(str(n) for n in (range(largest + 1) if class_names is None else class_names))
    smallest = int(min(y_train.min(), y_test.min()))
    if smallest < 0 or largest >= len(names):
        raise ValueError(
            f"Expected labels from 0 to {len(names) - 1}, one per class name, got {smallest} to {largest}; "
            f"renumber the labels or name every class."
        )
    return Dataset(x_train, y_train.astype(np.int32), x_test, y_test.astype(np.int32), names)


def _check_images(name: str, images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"Expected {name} to be uint8 [images, height, width, channels] with values from 0 to 255, "
            f"got {images.dtype} {list(images.shape)}; convert the images to that."
        )


def _check_labels(name: str, labels: np.ndarray, count: int) -> None:
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (count,):
        raise ValueError(
            f"Expected {name} to be integers [{count}], one class index per image, "
            f"got {labels.dtype} {list(labels.shape)}; save {name}.reshape(-1) or the argmax of one-hot labels."
        )
