"""The weights of a Keras model or of a file of one, by the names of its layers."""

import io
import os
import zipfile
import zlib

import keras
import numpy as np


def weights_by_layer(source) -> dict[str, list[np.ndarray]]:
    """Returns {layer name: arrays, in the order of layer.get_weights()} for the layers that have weights.

    Nothing of a file but its arrays and names is read, so that no code in it runs.

    Args:
        source: keras.Model, or the path of a .keras, .weights.h5 or .h5 file that Keras wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if source is neither, or the file is no such file or has no names of layers.
    """
    if isinstance(source, keras.Model):
        return {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"weights come from a Keras model or the path of its file, got {type(source).__name__} {source!r}; give "
            "e.g. keras.applications.ResNet50()."
        )
    if not os.path.exists(source):
        raise FileNotFoundError(f"no weights file at {source}; give the path of a .weights.h5, .h5 or .keras file.")
    import h5py

    try:
        with h5py.File(_archived(source), "r") as file:
            found = _of_keras_2(file) if "layer_names" in _root(file).attrs else _of_keras_3(file)
    # RuntimeError: h5py's, of an .h5 cut short.
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{source} is not a readable Keras file of weights ({error}); give a .weights.h5, .h5 or .keras file."
        ) from error
    if not found:
        raise ValueError(
            f"{source} names no layers, as files of early versions of Keras 3 don't; load it into a model of "
            "keras.applications and give that."
        )
    return found


def _archived(path):
    """Returns the weights inside a .keras archive, or the path itself."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _root(file):
    return file.get("model_weights", file)


def _of_keras_2(file):
    """Reads .h5: a group per layer, and their names in attributes."""
    root, found = _root(file), {}
    for layer in map(_text, root.attrs["layer_names"]):
        arrays = [root[layer][_text(name)][()] for name in root[layer].attrs["weight_names"]]
        if arrays:
            found[layer] = arrays
    return found


def _of_keras_3(file):
    """Reads .weights.h5: groups 'vars' of arrays '0', '1' and so on, each with its layer's name in an attribute."""
    found = {}

    def read(path, group):
        if path.endswith("/vars") and "name" in group.attrs and len(group):
            found[_text(group.attrs["name"])] = [group[key][()] for key in sorted(group, key=int)]

    file.visititems(read)
    return found


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)
