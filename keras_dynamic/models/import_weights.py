"""Import of CIFAR ResNet weights from .npz files in the usual PyTorch naming."""

import os
import re
import zipfile
import zlib

import keras
import numpy as np

_NORM = ("weight", "bias", "running_mean", "running_var")
_UNIT = re.compile(r"stage(\d+)_unit(\d+)")


def import_resnet_cifar(model, path):
    """Loads an .npz of PyTorch-named arrays into a resnet_cifar of basic blocks.

    Arrays: conv1.weight, bn1.*, layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}.*, linear.weight, linear.bias; convolutions
    (out, in, kh, kw), the classifier (out, in), batch norm weight, bias, running_mean, running_var.

    Args:
        model: resnet_cifar with basic blocks; it is built for 32x32 RGB images if it is not built yet.
        path: of the .npz file.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .npz, an array is missing or left over, a shape does not fit, or the model is no
            resnet_cifar of basic blocks; nothing is loaded then.
    """
    arrays = _read(path)
    if not model.built:
        model.build((None, 32, 32, 3))
    plan = list(_plan(model))
    names = [name for name, _, _ in plan]
    wrong = {
        "missing arrays": [name for name in names if name not in arrays],
        "extra arrays": [name for name in arrays if name not in names],
    }
    if any(wrong.values()):
        found = "; ".join(f"{kind} {_few(listed)}" for kind, listed in wrong.items() if listed)
        raise ValueError(f"{path} does not fit {model.name!r}: {found}; build the model with the depth of the file.")
    values = [_fitted(arrays[name], name, variable, axes, path) for name, variable, axes in plan]
    for (_, variable, _), value in zip(plan, values, strict=True):
        variable.assign(value)
    return model


def _fitted(array, name, variable, axes, path):
    """Returns the array as the variable has it."""
    axes = tuple(range(len(variable.shape))) if axes is None else axes
    if array.ndim != len(axes) or array.transpose(axes).shape != tuple(variable.shape):
        needed = tuple(variable.shape[axes.index(axis)] for axis in range(len(axes)))
        raise ValueError(
            f"{path}: array {name!r} has shape {array.shape}, and the model needs {needed}; build the model with the "
            "width and classes of the file."
        )
    return array.transpose(axes)


def _few(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weights file at {path}; give the path of an .npz file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    # TypeError: an .npy, which np.load gives as an array.
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is not a readable .npz file of weights ({error}); give one written by numpy.savez."
        ) from error


def _plan(model):
    """Yields (array name, variable, transposition) for every weight of the chain."""
    chain = model.chain
    yield from _pair(chain.stem, "conv1", "bn1", 0)
    for unit in chain.units:
        place = _UNIT.fullmatch(unit.name)
        if place is None or len(_of(keras.layers.Conv2D, unit.body)) != 2:
            raise ValueError(f"weights are imported into a resnet_cifar of basic blocks, and {model.name!r} is none.")
        prefix = f"layer{int(place[1])}.{int(place[2]) - 1}"
        yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
        yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
    dense = chain.head.layers[-1]
    yield "linear.weight", dense.kernel, (1, 0)
    yield "linear.bias", dense.bias, None


def _pair(block, convolution, norm, position):
    yield f"{convolution}.weight", _of(keras.layers.Conv2D, block)[position].kernel, (2, 3, 1, 0)
    layer = _of(keras.layers.BatchNormalization, block)[position]
    for name, variable in zip(_NORM, (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance), strict=True):
        yield f"{norm}.{name}", variable, None


def _of(kind, block):
    return [layer for layer in block.layers if isinstance(layer, kind)]
