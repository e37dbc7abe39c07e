"""Image classification sets from a folder of TensorFlow Datasets."""

import importlib.util
import os
from types import ModuleType
from typing import Any

import numpy as np

from keras_dynamic.data.dataset import Dataset, from_arrays


def tfds_names() -> tuple[str, ...]:
    """Names every set that TensorFlow Datasets has code for.

    Returns:
        The names, of images and others; none if tensorflow-datasets is not installed.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return ()
    return tuple(_import_tfds("the list of its sets").list_builders(with_community_datasets=False))


def load_tfds(name: str, data_dir: str | os.PathLike[str]) -> Dataset:
    """Reads a prepared TFDS set into memory; never downloads anything.

    The training images are the split "train"; those for judging are "test" or, where there is none, "validation". A set
    whose examples carry an "id" is put in the order of the ids, which for CIFAR is that of the original files.

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
    builder, judged = open_builder(name, data_dir)
    x_train, y_train = _read(builder, "train")
    x_test, y_test = _read(builder, judged)
    return from_arrays(x_train, y_train, x_test, y_test, builder.info.features["label"].names)


def open_builder(name: str, data_dir: str | os.PathLike[str]) -> tuple[Any, str]:
    """Opens a prepared TFDS set of images with labels.

    Args:
        name: the TFDS name; a configuration follows a slash.
        data_dir: the folder that holds the set's own folder.

    Returns:
        (TFDS builder, the split for judging): "test", or "validation" where there is no test split or, as in ImageNet,
        one without labels.

    Raises:
        ValueError: The set is not one of images with a class label each, or lacks a split.
        FileNotFoundError: data_dir does not hold the set, or only in part.
        ImportError: tensorflow-datasets, or what it needs, is not installed.
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
    if not _is_classification(tfds, features):
        raise ValueError(
            f"Expected {name!r} to be an image classification set with the features image and label, "
            f"got {', '.join(sorted(features))}; save its images as {name}.npz in data_dir."
        )
    splits = builder.info.splits
    judged = next((s for s in ("test", "validation") if s in splits and _has_labels(tfds, builder, s)), None)
    if "train" not in splits or judged is None:
        raise ValueError(
            f"Expected {name!r} to have the splits train and test (or validation), got {', '.join(splits)}; "
            f"split it yourself and save it as {name}.npz in data_dir."
        )
    return builder, judged


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


def _is_classification(tfds: ModuleType, features: Any) -> bool:
    return (
        "image" in features
        and "label" in features
        and isinstance(features["image"], tfds.features.Image)
        and isinstance(features["label"], tfds.features.ClassLabel)
    )


def _has_labels(tfds: ModuleType, builder: Any, split: str) -> bool:
    """Returns whether a split's first image has a label; TFDS writes -1 for labels that nobody knows."""
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
