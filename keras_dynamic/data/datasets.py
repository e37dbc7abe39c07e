"""Labelled image sets in memory, by name: the shipped one, .npz files, or TensorFlow Datasets folders."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.data.shipped import shipped
from keras_dynamic.files import read_arrays
from keras_dynamic.messages import did_you_mean

Pair = tuple[np.ndarray, np.ndarray]


def hold_out(x: np.ndarray, y: np.ndarray, count: int, seed: int | None = None) -> tuple[Pair, Pair]:
    """Splits a set into training images and held-out images, which choose thresholds and models.

    By default the last `count` images are held out. Where a set is ordered by class, give a seed.

    Args:
        x: images [n, ...].
        y: labels [n, ...].
        count: images to hold out, 1 to n - 1.
        seed: of a random choice of images; None holds out the last ones.

    Returns:
        ((x, y), (x_held, y_held)) with n - count and count images; views of the arguments where seed is None.

    Raises:
        ValueError: count is not between 1 and n - 1, or x and y differ in length.
    """
    n = len(x)
    if len(y) != n:
        raise ValueError(
            f"Expected as many labels as images, got {len(y)} labels and {n} images; pass both of one set."
        )
    if not 1 <= count <= n - 1:
        raise ValueError(
            f"Expected count to be between 1 and {n - 1}, so that some of the {n} images remain, got {count}."
        )
    if seed is not None:
        order = np.random.default_rng(seed).permutation(n)
        x, y = x[order], y[order]
    return (x[: n - count], y[: n - count]), (x[n - count :], y[n - count :])


class Dataset(NamedTuple):
    """Images and labels for training and for evaluation.

    Attributes:
        x_train: uint8 [n, height, width, channels], 0 to 255.
        y_train: int32 [n], index into class_names.
        x_test: uint8 [m, height, width, channels]; used for evaluation only.
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
    """Returns a Dataset of arrays, whose dtypes and shapes are checked.

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
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                f"Expected x_{split} to be uint8 [images, height, width, channels] with values from 0 to 255, "
                f"got {images.dtype} {list(images.shape)}; convert the images to that."
            )
        if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
            raise ValueError(
                f"Expected y_{split} to be integers [{len(images)}], one class index per image, got {labels.dtype} "
                f"{list(labels.shape)}; save y_{split}.reshape(-1) or the argmax of one-hot labels."
            )
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


def tfds_names() -> tuple[str, ...]:
    """Returns the names of all sets of TensorFlow Datasets; none if tensorflow-datasets is not installed."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return ()
    return tuple(_import_tfds("the list of its sets").list_builders(with_community_datasets=False))


def load_tfds(name: str, data_dir: str | os.PathLike[str]) -> Dataset:
    """Reads a prepared TFDS set into memory; never downloads anything.

    Training images are the split "train", test images "test" or, where there is none, "validation". A set whose
    examples have an "id" is put in the order of the ids, which for CIFAR is that of the original files.

    Args:
        name: the TFDS name; a configuration follows a slash.
        data_dir: the folder that holds the set's own folder.

    Returns:
        The Dataset.

    Raises:
        ValueError: The set is not one of images of one size with a class label each, or lacks a split.
        FileNotFoundError: data_dir does not hold the set, or only in part.
        ImportError: tensorflow-datasets, or what it needs, is not installed.
    """
    builder, test_split = open_builder(name, data_dir)
    x_train, y_train = _read(builder, "train")
    x_test, y_test = _read(builder, test_split)
    return from_arrays(x_train, y_train, x_test, y_test, builder.info.features["label"].names)


def open_builder(name: str, data_dir: str | os.PathLike[str]) -> tuple[Any, str]:
    """Opens a prepared TFDS set of images with labels; arguments and errors are those of load_tfds.

    Returns:
        (TFDS builder, name of the test split): "test", or "validation" where there is no test split or, as in ImageNet,
        one without labels.
    """
    tfds = _import_tfds(f"the TFDS folder of {name!r}")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        prepared = builder.is_prepared()
    except tfds.core.DatasetNotFoundError:
        prepared = False
    if not prepared:
        raise FileNotFoundError(
            f"Expected a prepared TFDS set {name!r} in {data_dir}, got a folder without its dataset_info.json and "
            f"records; make it anew with `tfds.load({name!r}, data_dir=...)` where there is a network."
        )
    features = builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(key in features and isinstance(features[key], kind) for key, kind in kinds.items()):
        raise ValueError(
            f"Expected {name!r} to be an image classification set with the features image and label, "
            f"got {', '.join(sorted(features))}; save its images as {name}.npz in data_dir."
        )
    splits = builder.info.splits
    test_split = next((s for s in ("test", "validation") if s in splits and _has_labels(tfds, builder, s)), None)
    if "train" not in splits or test_split is None:
        raise ValueError(
            f"Expected {name!r} to have the splits train and test (or validation), got {', '.join(splits)}; "
            f"split it yourself and save it as {name}.npz in data_dir."
        )
    return builder, test_split


def _import_tfds(wanted_for: str) -> ModuleType:
    try:
        import tensorflow  # noqa: F401  (tensorflow_datasets imports it only once it reads, then with a longer error)
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f"Expected tensorflow-datasets, which reads {wanted_for}, got none that can be imported ({error}); "
            f"run pip install 'keras_dynamic[data]', or use plain arrays in an .npz file."
        ) from error
    return tensorflow_datasets


def _has_labels(tfds: ModuleType, builder: Any, split: str) -> bool:
    """Returns whether a split's first image has a label; TFDS writes -1 for unknown labels."""
    config = tfds.ReadConfig(try_autocache=False)
    read = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()}, read_config=config).take(1)
    return all(int(example["label"]) >= 0 for example in read)


def _read(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads one split into (images [n, height, width, channels], labels [n])."""
    shape = builder.info.features["image"].shape
    count = builder.info.splits[split].num_examples
    keys = [key for key in ("image", "label", "id") if key in builder.info.features]
    examples = builder.as_dataset(split=split, shuffle_files=False).map(lambda e: {key: e[key] for key in keys})
    images: np.ndarray | None = None
    labels, ids, done = [], [], 0
    for batch in examples.batch(1 if None in shape else 1000).as_numpy_iterator():
        new = batch["image"]
        if images is None:
            images = np.empty((count, *new.shape[1:]), new.dtype)
        if new.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"Expected the images of {builder.name!r} to be of one size, got {images.shape[1:]} and "
                f"{new.shape[1:]}, which one array cannot hold; read them by data.stream (a config's data.size), or "
                f"resize them and save them as {builder.name}.npz."
            )
        images[done : done + len(new)] = new
        done += len(new)
        labels.append(batch["label"])
        ids.append(batch.get("id", np.zeros(len(new))))
    if images is None:
        raise ValueError(
            f"Expected images in the split {split} of {builder.name!r}, got an empty split; prepare the set anew."
        )
    order = np.argsort(np.concatenate(ids), kind="stable")
    return images[order], np.concatenate(labels)[order]


ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads an image classification set into memory; never downloads anything.

    It is, in this order, the set that comes with the package ("shipped": its 3,500 images for gates and then its 500
    held-out ones are the training images), data_dir/NAME.npz (see load_arrays), or the TensorFlow Datasets folder
    data_dir/NAME. Images keep the order of the original files where TFDS has it: x_train[45000:] of CIFAR are the same
    images from any source.

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
            f"Expected an .npz file with {', '.join(ARRAYS)}, got {str(path)!r}, which is no file; write it with "
            f"numpy.savez."
        )
    arrays = read_arrays(path, names=(*ARRAYS, "class_names"))
    missing = [key for key in ARRAYS if key not in arrays]
    if missing:
        raise ValueError(
            f"Expected the arrays {', '.join(ARRAYS)} in {path}, got {', '.join(sorted(arrays)) or 'none'}; "
            f"add {', '.join(missing)}."
        )
    names = arrays.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise ValueError(
            f"Expected class_names in {path} to be strings [classes], got {names.dtype} {list(names.shape)}; save a "
            "list of the classes' names."
        )
    class_names = None if names is None else names.tolist()
    return from_arrays(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], class_names)


def _check_known(name: str, folder: Path) -> None:
    """Raises ValueError if no set has this name, among local files and the names of TFDS."""
    here = sorted(p.stem for p in folder.glob("*.npz")) if folder.is_dir() else []
    of_tfds = tfds_names()
    if name in of_tfds or name in ("cifar10", "cifar100"):
        return
    known = ["shipped", "cifar10", "cifar100", *(n for n in here if n not in ("cifar10", "cifar100"))]
    installed = "" if of_tfds else ", which is not installed (pip install 'keras_dynamic[data]')"
    raise ValueError(
        f"Expected the name of an image set, got {name!r}{did_you_mean(name, [*known, *of_tfds])}; "
        f"use one of {', '.join(known)} or a name of TensorFlow Datasets{installed}."
    )
