"""Image sets by name: the shipped one, plain arrays, or TensorFlow Datasets."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_dynamic.data.dataset import Dataset, from_arrays
from keras_dynamic.data.shipped import shipped
from keras_dynamic.data.tfds_folder import load_tfds, tfds_names
from keras_dynamic.messages import near

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads an image classification set into memory; never downloads anything.

    Looked for, in this order: the set that comes with the package ("shipped": its 3,500 images for gates, then its 500
    held-out ones, are the training images), data_dir/NAME.npz (see load_arrays), and the TensorFlow Datasets folder
    data_dir/NAME. Images come in the order of the original files where TFDS keeps it, as it does for CIFAR:
    x_train[45000:] are the same images whatever they are read from.

    Args:
        name: "shipped", the name of an .npz file, or a TFDS name such as "cifar10", "cifar100" (fine labels) or
            "svhn_cropped"; a TFDS configuration follows a slash.
        data_dir: the folder that holds the set; None means the usual folder of TFDS, ~/tensorflow_datasets.

    Returns:
        The Dataset.

    Raises:
        ValueError: No set has that name, or it is not one of images of one size with a label each.
        FileNotFoundError: data_dir does not exist or does not hold the set.
        ImportError: The set is a TFDS folder and tensorflow-datasets is not installed.
    """
    if name == "shipped":
        part = shipped()
        x, y = np.concatenate([part.x_gates, part.x_heldout]), np.concatenate([part.y_gates, part.y_heldout])
        return from_arrays(x, y, part.x_test, part.y_test, part.class_names)
    folder = Path("~/tensorflow_datasets" if data_dir is None else data_dir).expanduser()
    if data_dir is not None and not folder.is_dir():
        raise FileNotFoundError(
            f"Expected data_dir to be a folder that holds {name!r}, got {str(data_dir)!r}, which is no folder; "
            f"create it and put {name}.npz or a TFDS folder there, or use the set 'shipped'."
        )
    if (folder / f"{name}.npz").is_file():
        return load_arrays(folder / f"{name}.npz")
    base = name.split("/")[0].split(":")[0]
    if base and (folder / base).is_dir():
        return load_tfds(name, folder)
    _check_known(base, folder)
    raise FileNotFoundError(
        f"Expected {name!r} in {folder}, got neither {name}.npz (arrays {', '.join(ARRAYS)}) nor a TFDS folder {base}/ "
        f"there; put one of them there (`tfds.load({name!r}, data_dir=...)` makes the folder where there is a network) "
        f"or pass the data_dir that has it."
    )


def load_arrays(path: str | os.PathLike[str]) -> Dataset:
    """Loads a set from an .npz file of plain arrays.

    Args:
        path: file with x_train, x_test (uint8 [images, height, width, channels], 0 to 255), y_train and y_test
            (integers [images]), and optionally class_names (strings, in label order).

    Returns:
        The Dataset.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an .npz file, an array is missing, or one has the wrong type or shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected an .npz file with {', '.join(ARRAYS)}, got {str(path)!r}, which is no file; "
            f"write it with numpy.savez."
        )
    arrays = _read_npz(path)
    missing = [key for key in ARRAYS if key not in arrays]
    if missing:
        raise ValueError(
            f"Expected the arrays {', '.join(ARRAYS)} in {path}, got {', '.join(sorted(arrays)) or 'none'}; "
            f"add {', '.join(missing)}."
        )
    names = arrays["class_names"].tolist() if "class_names" in arrays else None
    return from_arrays(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], names)


def _read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive, or is cut short")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key in (*ARRAYS, "class_names")}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"Expected {path} to be an .npz file of plain arrays, got one that cannot be read ({error}); "
            f"write it anew with numpy.savez."
        ) from error


def _check_known(name: str, folder: Path) -> None:
    """Raises ValueError if no set has this name, as far as is known without asking a network."""
    here = sorted(p.stem for p in folder.glob("*.npz")) if folder.is_dir() else []
    of_tfds = tfds_names()
    if name in of_tfds or name in ("cifar10", "cifar100"):
        return
    known = ["shipped", "cifar10", "cifar100", *(n for n in here if n not in ("cifar10", "cifar100"))]
    installed = "" if of_tfds else ", which is not installed (pip install 'keras_dynamic[data]')"
    raise ValueError(
        f"Expected the name of an image set, got {name!r}{near(name, [*known, *of_tfds])}; "
        f"use one of {', '.join(known)} or a name of TensorFlow Datasets{installed}."
    )
