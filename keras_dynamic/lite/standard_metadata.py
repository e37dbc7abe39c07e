"""Writes the metadata of TensorFlow Lite's own standard, which Android's tools read: normalisation and class names."""

from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Model
from keras_dynamic.lite.metadata import LABELS, LINE_END, STANDARD, signature_names

_IDENTIFIER = b"M001"
_FEATURES, _IMAGE = 1, 2  # of the schema's union ContentProperties
_NORMALIZATION = 1  # of its union ProcessUnitOptions
_AXIS_LABELS, _VALUE_LABELS = 2, 3  # of its enum AssociatedFileType
_COLOURS = {1: 2, 3: 1}  # channels: of its enum ColorSpaceType
_PARSER = "1.0.0"


def check_labels(labels, classes: int) -> list[str] | None:
    """Returns the names of classes as a list, or raises a ValueError.

    Args:
        labels: the caller's argument; None for none.
        classes: number of logits.
    """
    if labels is None:
        return None
    wanted = max(classes, 2)
    names = [] if isinstance(labels, str) else list(labels)
    if len(names) != wanted or any(not isinstance(name, str) or not name or LINE_END.search(name) for name in names):
        raise ValueError(f"labels must be {wanted} names of classes, each a line of text, got {labels!r}.")
    return names


def check_normalization(given, channels: int, takes_pixels: bool, input_type) -> tuple | None:
    """Returns (mean, std), each a number or a list of one for each channel, or raises a ValueError.

    Args:
        given: the caller's argument; None for (0, 1) where the model takes pixels, else for not known.
        channels: of the images.
        takes_pixels: whether the model normalises pixel values 0 to 255 itself.
        input_type: 'uint8', for which it must be known, and one for all channels, or None.
    """
    if given is None and not takes_pixels:
        if input_type == "uint8":
            raise ValueError(
                "input_type='uint8' needs to know what pixel values mean to the model; give normalization=(mean, std) "
                "of the images that it was trained on, (0, 1) if these were pixel values 0 to 255."
            )
        return None
    try:
        mean, std = (np.asarray(each, float) for each in ((0, 1) if given is None else given))
        right = mean.shape == std.shape and mean.shape in ((), (1,), (channels,)) and np.isfinite(mean).all()
        right = right and np.isfinite(std).all() and (std > 0).all()
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f"normalization must be (mean, std), numbers or {channels} each, std positive, got {given!r}; images are "
            "(pixel - mean) / std."
        )
    if takes_pixels and not ((mean == 0).all() and (std == 1).all()):
        raise ValueError(
            f"the model normalises pixel values 0 to 255 itself, got normalization={given!r} too; leave it out."
        )
    if input_type == "uint8" and mean.ndim and mean.size > 1:
        raise ValueError(
            f"input_type='uint8' rescales all channels alike, got normalization={given!r} with a number for each; put "
            "normalisation into the model, or leave input_type out."
        )
    return mean.tolist(), std.tolist()


def byte_range(normalization) -> tuple[float, float]:
    """Returns the numbers that the bytes 0 and 255 of a uint8 input stand for; normalization: one for all channels."""
    mean, std = (np.asarray(each, float).item() for each in normalization)
    return (0 - mean) / std, (255 - mean) / std


def set_standard_metadata(model: Model, name: str, normalization=None, labels=None) -> None:
    """Describes a parsed model's input `image` and output `logits` in the standard metadata, in place.

    Args:
        model: with its signature.
        name: of the model.
        normalization: (mean, std) of what the input takes, (pixel - mean) / std; None if that is not known.
        labels: names of the classes; None for none.

    Source: tensorflow_lite_support/metadata/metadata_schema.fbs, version 1.1.0.
    """
    inputs, outputs = signature_names(model)
    main = model.subgraphs[0]
    shape = flatbuffer.shape(main.tensors[main.inputs[0]])
    image: dict[int, Any] = {0: "image", 3: _content(shape)}
    if normalization is not None:
        options = {0: _floats(normalization[0]), 1: _floats(normalization[1])}
        image[4] = [{0: _NORMALIZATION, 1: options}]
    logits: dict[int, Any] = {0: "logits", 1: "of each class; their softmax, or sigmoid, are probabilities"}
    if labels is not None:
        classes = flatbuffer.shape(main.tensors[main.outputs[0]])[-1]
        kind = _AXIS_LABELS if classes == len(labels) else _VALUE_LABELS
        logits[6] = [{0: LABELS, 1: "names of the classes", 2: kind}]
        model.files[LABELS] = "".join(f"{label}\n" for label in labels).encode()
    graph = {
        2: [image, *({0: each} for each in inputs[1:])],
        3: [logits, *({0: each} for each in outputs[1:])],
    }
    content = _packed({0: name, 3: [graph], 7: _PARSER})
    flatbuffer.set_metadata_entry(model, STANDARD, content)


def _content(shape):
    """Returns the table Content of an input [1, ...]."""
    if len(shape) == 4 and shape[-1] in _COLOURS:
        return {0: _IMAGE, 1: {0: _COLOURS[shape[-1]]}}
    return {0: _FEATURES, 1: {}}


def _floats(numbers) -> np.ndarray:
    return np.atleast_1d(np.asarray(numbers, np.float32))


def _packed(table: dict[int, Any]) -> bytes:
    """Returns the flatbuffer of a table of the schema, {number of the field: value}.

    A value is a text, an int (for a byte), an array of floats, a table, or a list of tables.
    """
    import flatbuffers

    builder = flatbuffers.Builder(256)
    builder.Finish(_added(builder, table), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _added(builder, value):
    """Adds a value that is no byte to a flatbuffer and returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        offsets = [_added(builder, each) for each in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    added = {slot: each if isinstance(each, int) else _added(builder, each) for slot, each in value.items()}
    builder.StartObject(max(value, default=-1) + 1)
    for slot, each in value.items():
        prepend = builder.PrependUint8Slot if isinstance(each, int) else builder.PrependUOffsetTRelativeSlot
        prepend(slot, added[slot], 0)
    return builder.EndObject()
