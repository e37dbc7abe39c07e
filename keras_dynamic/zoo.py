"""Trained networks by name; they ship with the package."""

import copy
import functools
import hashlib
import json
from pathlib import Path

import keras

from keras_dynamic.messages import did_you_mean
from keras_dynamic.models import import_resnet_cifar, resnet_cifar

_FOLDER = Path(__file__).with_name("weights")


@functools.cache
def _rows() -> dict:
    return json.loads((_FOLDER / "zoo.json").read_text(encoding="utf-8"))


def names() -> list[str]:
    """Returns the names of all trained networks, plain ones first."""
    return list(_rows())


def describe(name: str) -> dict:
    """Returns the facts on a network: data, accuracy (fraction), MACs, training, checksum of its file.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: if there is no network of this name.
    """
    if name not in _rows():
        raise ValueError(f"the zoo has no network {name!r}{did_you_mean(name, names())}; it has {names()}.")
    return copy.deepcopy(_rows()[name])


def load(name: str):
    """Returns a trained network with its weights.

    Args:
        name: one of `names()`, e.g. 'resnet32_cifar10_45k'.

    Returns:
        DynamicModel, built; it takes images [batch, 32, 32, 3] with pixel values 0 to 255 and returns logits.

    Raises:
        ValueError: if there is no network of this name, or its file is missing or not the one that was measured.
    """
    row = describe(name)
    path = _FOLDER / row["file"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
        what = "is not the file that was measured (its SHA-256 differs)" if path.is_file() else "is missing"
        raise ValueError(f"{path} {what}; install the package again.")
    if path.suffix == ".keras":
        return keras.models.load_model(path)
    return import_resnet_cifar(resnet_cifar(**row["network"], name=name), path)
