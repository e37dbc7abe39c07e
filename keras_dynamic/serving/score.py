"""Batch scoring: what a network answers to many images, in files that a later call, or another process, adds to."""

import hashlib
import itertools
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from keras_dynamic.data import batches_of
from keras_dynamic.files import plain, read_arrays, read_json, replacing, write_json
from keras_dynamic.messages import check_count, is_count
from keras_dynamic.serving.answers import answers

MANIFEST = "manifest.json"


def score(model, images, folder, shard_size=4096, batch_size=256, shard=(0, 1)) -> list[Path]:
    """Writes what a network answers to images, shard by shard: folder/part-00000.npz, part-00001.npz, ...

    Part k is about images k * shard_size to (k + 1) * shard_size - 1 and has the arrays `logits`, float32
    [n, ..., classes], `decisions`, uint8 [n, decisions], and `macs`, int64 [n], of serving.answers; `index`, int64 [n],
    the images' numbers; and `images_digest` of the images. folder/manifest.json has the digest of the network, the
    shard size and the names of the decisions. A part appears once it is whole. A call with the same arguments goes on
    where an earlier one ended; parts that are there are compared with the images, not computed again.

    Args:
        model: built DynamicModel, or the path of a .keras file of one.
        images: array [n, height, width, channels]; an iterable of such arrays or of tuples that begin with one, such as
            a tf.data.Dataset; or the path of an .npy file, of an .npz file with images `x`, or of a folder of such
            files, which are read one at a time in the order of their names.
        folder: where to write; new, or of an earlier call.
        shard_size: images of a part.
        batch_size: images at a time.
        shard: (i, n): this call computes parts i, i + n, i + 2n, ... alone, so that n processes, each with its own i,
            compute all of them. Each reads all images.

    Returns:
        Paths of this call's parts, whether written now or before.

    Raises:
        ValueError: if the folder holds parts of another network, shard size or images, there are no images, or some
            have another size or are not finite.
        OSError: if a file cannot be read or written.
    """
    check_count("shard_size", shard_size)
    check_count("batch_size", batch_size)
    place, count = _checked_shard(shard)
    model, folder = _loaded(model), Path(folder)
    answer = answers(model)
    described = {"model": _digest(model), "shard_size": shard_size, "decisions": list(model.decision_names)}
    _check_manifest(folder, described)
    written, number = [], -1
    for number, arrays in enumerate(_shards(images, shard_size)):
        if number % count == place:
            path = folder / f"part-{number:05d}.npz"
            _write_part(path, np.concatenate(arrays), number * shard_size, batch_size, answer)
            written.append(path)
    if number < 0:
        raise ValueError("score takes at least one image, got none.")
    beyond = folder / f"part-{number + 1:05d}.npz"
    if beyond.exists():
        raise ValueError(
            f"{beyond} is of more images than the {number + 1} parts of these have; give another folder, or the images "
            "that it was written for."
        )
    return written


def _checked_shard(shard):
    pair = tuple(shard) if isinstance(shard, (tuple, list)) else ()
    if len(pair) != 2 or not is_count(pair[0], 0) or not is_count(pair[1]) or pair[0] >= pair[1]:
        raise ValueError(f"shard must be (i, n) with whole numbers 0 <= i < n, got {shard!r}.")
    return pair


def _loaded(model):
    return keras.models.load_model(model, compile=False) if isinstance(model, (str, os.PathLike)) else model


def _write_part(path, images, start, batch_size, answer):
    """Writes a part, or compares one that is there with the images."""
    digest = _digest_of(images)
    if path.exists():
        if _digest_in(path) != digest:
            raise ValueError(
                f"{path} was written for other images than {start} to {start + len(images) - 1} of these; give another "
                "folder, or the images that it was written for."
            )
        return
    found = [answer(images[first : first + batch_size]) for first in range(0, len(images), batch_size)]
    joined = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}
    index = np.arange(start, start + len(images))
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **joined, index=index, images_digest=np.array(digest))


def _digest_in(path):
    try:
        return str(read_arrays(path, names=("images_digest",))["images_digest"])
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is no whole part, as score writes it ({error}); delete it, score again.") from error


def _check_manifest(folder, described):
    """Writes the manifest of a new folder; raises a ValueError if the folder's is another."""
    path = folder / MANIFEST
    if not path.exists():
        if next(folder.glob("part-*.npz"), None) is not None:
            raise ValueError(f"{folder} holds parts but no {MANIFEST}, which says what they are of; give a new folder.")
        write_json(path, described)
        return
    found = read_json(path, "give a new folder")
    for name, value in described.items():
        if found.get(name) != value:
            raise ValueError(
                f"{folder} holds parts of another {name.replace('_', ' ')}, {found.get(name)!r} where this call has "
                f"{value!r}; give another folder, or call as it was written."
            )


def _shards(images, size) -> Iterator[list[np.ndarray]]:
    """Yields, for each shard, arrays that together are its `size` images; the last shard has fewer."""
    held: list[np.ndarray] = []
    count = 0
    for array in _arrays(images):
        start = 0
        while start < len(array):
            held.append(array[start : start + size - count])
            start, count = start + len(held[-1]), count + len(held[-1])
            if count == size:
                yield held
                held, count = [], 0
    if held:
        yield held


def _arrays(images) -> Iterator[np.ndarray]:
    """Yields images as arrays [n, ...] of any n."""
    if isinstance(images, (str, os.PathLike)):
        path = Path(images)
        files = sorted([*path.glob("*.npy"), *path.glob("*.npz")]) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"expected a folder of .npy or .npz files with images, got {str(path)!r}, which has none.")
        yield from map(_read, files)
    elif hasattr(images, "shape"):
        yield np.asarray(images)
    else:
        for batch in batches_of(images):
            yield np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch)


def _read(path) -> np.ndarray:
    try:
        if zipfile.is_zipfile(path):
            return read_arrays(path, names=("x",))["x"]
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, KeyError, EOFError) as error:
        raise ValueError(f"expected an .npy of images, or an .npz with images x, got {path} ({error}).") from error


def _digest_of(images) -> str:
    """Returns the digest of an array: of its dtype, shape and numbers."""
    digest = hashlib.sha256(f"{images.dtype.str} {images.shape}".encode())
    digest.update(np.ascontiguousarray(images).view(np.uint8).data)
    return digest.hexdigest()


def _digest(model) -> str:
    """Returns the digest of a network: of its config and weights, thresholds included, whatever its layers' names."""
    config = _without_names(keras.saving.serialize_keras_object(model.get_config()))
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=plain).encode())
    for weight in model.weights:
        digest.update(_digest_of(keras.ops.convert_to_numpy(weight)).encode())
    return digest.hexdigest()


def _without_names(config):
    """Returns a config with numbers in place of layers' names, which Keras counts up in each process."""
    numbers: dict[str, str] = {}
    counted = (f"layer {number}" for number in itertools.count())

    def collect(part):
        if isinstance(part, dict):
            if isinstance(part.get("name"), str) and part["name"] not in numbers:
                numbers[part["name"]] = next(counted)
            for key in sorted(part):
                collect(part[key])
        elif isinstance(part, (list, tuple)):
            for each in part:
                collect(each)

    def renamed(part):
        if isinstance(part, dict):
            return {key: renamed(value) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return [renamed(each) for each in part]
        return numbers.get(part, part) if isinstance(part, str) else part

    collect(config)
    return renamed(config)
