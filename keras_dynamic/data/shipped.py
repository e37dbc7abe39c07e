"""The small real image set that comes with the package."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_dynamic.files import read_arrays

FOLDER = Path(__file__).parent / "shipped"
PARTS = ("gates", "heldout", "test")
COLUMNS = 50
"""Images per row of a sheet; every part's size is a multiple of it."""


class Shipped(NamedTuple):
    """5,000 CIFAR-10 images, in the order of the original files.

    The shipped networks were trained on x_train[:45000] of CIFAR-10 and on none of these.

    Attributes:
        x_gates: uint8 [3500, 32, 32, 3], x_train[45000:48500]; to train gates.
        y_gates: int32 [3500].
        x_heldout: uint8 [500, 32, 32, 3], x_train[48500:49000]; to choose thresholds and models.
        y_heldout: int32 [500].
        x_test: uint8 [1000, 32, 32, 3], x_test[:1000]; for evaluation.
        y_test: int32 [1000].
        class_names: the ten classes, in label order.
    """

    x_gates: np.ndarray
    y_gates: np.ndarray
    x_heldout: np.ndarray
    y_heldout: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


def shipped(folder: Path = FOLDER) -> Shipped:
    """Reads the images that come with the package; needs neither a network nor TensorFlow.

    Args:
        folder: with the sheets and labels; the package's own by default.

    Returns:
        The three parts and their labels.

    Raises:
        FileNotFoundError: The package was installed without its data files.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (CIFAR-10).
    """
    labels_file = folder / "labels.npz"
    missing = [f.name for f in [labels_file, *(sheet_file(folder, part) for part in PARTS)] if not f.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected the shipped images in {folder}, got no {', '.join(missing)}; reinstall keras_dynamic."
        )
    labels = read_arrays(labels_file, "reinstall keras_dynamic")
    y = {part: labels[part].astype(np.int32) for part in PARTS}
    class_names = tuple(str(name) for name in labels["class_names"])
    x = {part: read_sheet(sheet_file(folder, part)) for part in PARTS}
    return Shipped(x["gates"], y["gates"], x["heldout"], y["heldout"], x["test"], y["test"], class_names)


def sheet_file(folder: Path, part: str) -> Path:
    """Returns the path of the sheet of one of PARTS."""
    return folder / f"{part}.webp"


def read_sheet(path: Path) -> np.ndarray:
    """Reads a picture of 32x32 tiles, COLUMNS in a row, as its images: uint8 [n, 32, 32, 3]."""
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    rows = pixels.shape[0] // 32
    return pixels.reshape(rows, 32, COLUMNS, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)


def to_sheet(images: np.ndarray) -> np.ndarray:
    """Returns images, uint8 [n, 32, 32, 3], as the tiles of one picture; the inverse of read_sheet."""
    return images.reshape(-1, COLUMNS, 32, 32, 3).swapaxes(1, 2).reshape(-1, COLUMNS * 32, 3)
