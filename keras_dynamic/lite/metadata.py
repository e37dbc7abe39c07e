"""What export notes in a .tflite: the decisions' names, the cost table and the like, as JSON in a metadata buffer."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_dynamic.cost import Node, parts
from keras_dynamic.lite import schema
from keras_dynamic.lite.schema import Model

METADATA_NAME = "keras_dynamic"
_KEYS = (("when", True), ("unless", False))


def cost_table(node: Node) -> list[dict[str, Any]]:
    """Returns a cost tree as export notes it: [{'macs', 'when': decisions that must all be 1, 'unless': all 0}]."""
    return [
        {"macs": macs, **{key: [guard.decision for guard in guards if guard.on is on] for key, on in _KEYS}}
        for macs, guards in parts(node)
    ]


def macs_under(table, decisions):
    """Returns the MACs of a cost table, or of some of its rows, under {decision name: 0/1, number or array [n]}."""
    total = 0
    for row in table:
        ones, zeros = row["when"], row.get("unless", ())  # files of before lack it
        total = total + row["macs"] * math.prod([*(decisions[n] for n in ones), *(1 - decisions[n] for n in zeros)])
    return total


def metadata_of(model: Model) -> dict[str, Any] | None:
    """Returns what export noted in a parsed model: decisions, cost table and the like; None if nothing.

    Raises:
        ValueError: if the note isn't JSON.
    """
    for entry in model.metadata:
        if entry.name == METADATA_NAME:
            try:
                return json.loads(bytes(model.buffers[entry.buffer].data))
            except (ValueError, TypeError) as error:
                raise ValueError(f"The model's {METADATA_NAME!r} note is no JSON ({error}); export it again.") from None
    return None


def read_metadata(model: bytes) -> dict[str, Any] | None:
    """Returns what export noted in a .tflite, None if nothing. As metadata_of, from bytes."""
    return metadata_of(schema.load(model))


def metadata_needed(model: Model) -> dict[str, Any]:
    """Returns the metadata of a model that export has written.

    Args:
        model: the parsed .tflite.

    Raises:
        ValueError: if it has none.
    """
    found = metadata_of(model)
    if found is None:
        raise ValueError(
            f"Expected a .tflite with {METADATA_NAME!r} metadata, got one without; export it with keras_dynamic."
        )
    return found


def write_metadata(model: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Returns the model with this package's metadata set, any former one replaced.

    Args:
        model: the .tflite's bytes.
        metadata: what to note; must be expressible as JSON.

    Returns:
        The new .tflite's bytes.
    """
    parsed = schema.load(model)
    text = json.dumps(metadata, separators=(",", ":")).encode()
    for entry in parsed.metadata:
        if entry.name == METADATA_NAME:
            parsed.buffers[entry.buffer].data = np.frombuffer(text, np.uint8)
            return schema.pack(parsed)
    entry = schema.schema().MetadataT()
    entry.name, entry.buffer = METADATA_NAME, schema.add_buffer(parsed, text)
    parsed.metadata.append(entry)
    return schema.pack(parsed)
