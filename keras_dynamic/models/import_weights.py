"""Import of CIFAR ResNet weights from .npz files in the usual PyTorch naming."""

import os
import zipfile

import keras
import numpy as np

_NORM = ("weight", "bias", "running_mean", "running_var")


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
        ValueError: if it is no .npz, an array is missing or left over, or a shape does not fit; nothing is loaded then.
    """
    arrays = _read(path)
    if not model.built:
        model(np.zeros((1, 32, 32, 3), np.float32))
    plan = list(_plan(model.chain))
    names = [name for name, _, _ in plan]
    missing = [name for name in names if name not in arrays]
    extra = [name for name in arrays if name not in names]
    if missing or extra:
        raise ValueError(
            f"{path} does not fit {model.name!r}: "
            + "; ".join(f"{word} {list_}" for word, list_ in (("missing arrays", _few(missing)), ("extra arrays", _few(extra))) if list_)
            + "; build the model with the depth of the file."
        )
    values = []
    for name, variable, axes in plan:
        value = arrays[name] if axes is None else arrays[name].transpose(axes)
        if tuple(value.shape) != tuple(variable.shape):
            raise ValueError(
                f"{path}: array {name!r} has shape {arrays[name].shape}, which gives {value.shape}; the model needs "
                f"{tuple(variable.shape)}; build the model with the width and classes of the file."
            )
        values.append(value)
    for (_, variable, _), value in zip(plan, values, strict=True):
        variable.assign(value)
    return model


def _few(names):
    return "" if not names else ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"no weights file at {path}; give the path of an .npz file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz file of weights ({error}); give one written by numpy.savez.") from error


def _plan(chain):
    """Yields (array name, variable, transposition) for every weight of the chain."""
    yield from _pair(chain.stem, "conv1", "bn1", 0)
    for unit in chain.units:
        stage, index = (int(part.lstrip("stageunit")) for part in unit.name.split("_"))
        prefix = f"layer{stage}.{index - 1}"
        yield from _pair(unit.body, f"{prefix}.conv1", f"{prefix}.bn1", 0)
        yield from _pair(unit.body, f"{prefix}.conv2", f"{prefix}.bn2", 1)
    dense = chain.head.layers[-1]
    yield "linear.weight", dense.kernel, (1, 0)
    yield "linear.bias", dense.bias, None


def _pair(block, convolution, norm, position):
    convolutions = [layer for layer in block.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in block.layers if isinstance(layer, keras.layers.BatchNormalization)]
    yield f"{convolution}.weight", convolutions[position].kernel, (2, 3, 1, 0)
    layer = norms[position]
    for name, variable in zip(_NORM, (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance), strict=True):
        yield f"{norm}.{name}", variable, None
