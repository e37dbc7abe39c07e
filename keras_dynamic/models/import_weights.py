"""Import of the weights of CIFAR networks from .npz files in the usual PyTorch naming."""

import os
import re
import zipfile
import zlib

import keras
import numpy as np

_NORM = ("weight", "bias", "running_mean", "running_var")
_UNIT = re.compile(r"stage(\d+)_unit(\d+)")
_DENSE_UNIT = re.compile(r"block(\d+)_unit(\d+)")
_TRANSITION = re.compile(r"transition(\d+)")


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
    return _load(model, path, _resnet_plan)


def import_densenet_bc(model, path):
    """Loads an .npz of PyTorch-named arrays into a densenet_bc.

    Arrays: conv1.weight, dense{1,2,3}.{i}.{bn1,conv1,bn2,conv2}.*, trans{1,2}.{bn,conv}.*, bn.*, linear.weight,
    linear.bias; laid out as import_resnet_cifar says.

    Args:
        model: densenet_bc; it is built for 32x32 RGB images if it is not built yet.
        path: of the .npz file.

    Returns:
        The model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .npz, an array is missing or left over, a shape does not fit, or the model is no
            densenet_bc; nothing is loaded then.
    """
    return _load(model, path, _densenet_plan)


def _load(model, path, plan_of):
    """Loads the arrays of a file into the variables that plan_of(model) names, all of them or none."""
    arrays = _read(path)
    if not model.built:
        model.build((None, 32, 32, 3))
    plan = list(plan_of(model))
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


def _resnet_plan(model):
    """Yields (array name, variable, transposition) for every weight of a resnet_cifar's chain."""
    chain = model.chain
    places = [place for unit in chain.units if (place := _UNIT.fullmatch(unit.name))]
    if len(places) < len(chain.units) or any(len(_of(keras.layers.Conv2D, unit.body)) != 2 for unit in chain.units):
        raise ValueError(f"weights are imported into a resnet_cifar of basic blocks, and {model.name!r} is none.")
    yield from _pair(chain.stem, "conv1", "bn1", 0)
    for unit, place in zip(chain.units, places, strict=True):
        prefix = f"layer{int(place[1])}.{int(place[2]) - 1}"
        yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
        yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
    yield from _linear(chain.head)


def _densenet_plan(model):
    """Yields (array name, variable, transposition) for every weight of a densenet_bc's chain."""
    chain = model.chain
    if not all(_DENSE_UNIT.fullmatch(unit.name) or _TRANSITION.fullmatch(unit.name) for unit in chain.units):
        raise ValueError(f"weights are imported into a densenet_bc, and {model.name!r} is none.")
    yield from _kernel(chain.stem, "conv1", 0)
    for unit in chain.units:
        if dense := _DENSE_UNIT.fullmatch(unit.name):
            prefix = f"dense{int(dense[1])}.{int(dense[2]) - 1}"
            yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
            yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
        elif transition := _TRANSITION.fullmatch(unit.name):
            prefix = f"trans{int(transition[1])}"
            yield from _pair(unit, f"{prefix}.conv", f"{prefix}.bn", 0)
    yield from _norm(chain.head, "bn", 0)
    yield from _linear(chain.head)


def _pair(block, convolution, norm, position):
    yield from _kernel(block, convolution, position)
    yield from _norm(block, norm, position)


def _kernel(block, name, position):
    yield f"{name}.weight", _of(keras.layers.Conv2D, block)[position].kernel, (2, 3, 1, 0)


def _norm(block, name, position):
    layer = _of(keras.layers.BatchNormalization, block)[position]
    for part, variable in zip(_NORM, (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance), strict=True):
        yield f"{name}.{part}", variable, None


def _linear(head):
    dense = head.layers[-1]
    yield "linear.weight", dense.kernel, (1, 0)
    yield "linear.bias", dense.bias, None


def _of(kind, block):
    return [layer for layer in block.layers if isinstance(layer, kind)]
