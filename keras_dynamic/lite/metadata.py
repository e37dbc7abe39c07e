"""Reads and writes the names of a file's inputs and outputs, and the metadata that export stores in it as JSON."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_dynamic.cost import Node, parts
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Model

DEFAULT_KEY = "serving_default"
STANDARD = "TFLITE_METADATA"  # see standard_metadata


def write_signature(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Returns a .tflite's bytes with one signature, 'serving_default', that names inputs and outputs in their order.

    Raises:
        ValueError: if there are more or fewer names than inputs or outputs, or a name stands twice.
    """
    return flatbuffer.edited(model, set_signature, inputs, outputs)


def set_signature(model: Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Gives a parsed model one signature, in place. Arguments as in write_signature."""
    main = model.subgraphs[0]
    signature = flatbuffer.schema().SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = DEFAULT_KEY, 0
    signature.inputs = _named("input", inputs, main.inputs)
    signature.outputs = _named("output", outputs, main.outputs)
    model.signatureDefs = [signature]
    model.metadata = [entry for entry in model.metadata if entry.name != STANDARD]  # which describes the former ones


def _named(kind: str, names: Sequence[str], tensors: list[int]) -> list:
    if len(names) != len(tensors) or len(set(names)) != len(names):
        raise ValueError(
            f"Expected one name for each of the model's {len(tensors)} {kind}s, all different, got {list(names)}."
        )
    entries = []
    for name, tensor in zip(names, tensors, strict=True):
        entry = flatbuffer.schema().TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        entries.append(entry)
    return entries


STAGES = "stages"


def check_whole(model: Model) -> None:
    """Raises a ValueError if a parsed model holds stages, of which no one stands for the file."""
    names = (metadata_of(model) or {}).get(STAGES)
    if names:
        raise ValueError(
            f"Expected a file of one model, got one with the stages {names}; give one that kd.lite.stages returns, or "
            "run it by kd.lite.Stages."
        )


def signature_names(model: Model) -> tuple[list[str], list[str]]:
    """Returns the names of a parsed model's inputs and outputs: those in its signature, or else of the tensors.

    Raises:
        ValueError: if it holds stages, each with a signature of its own.
    """
    check_whole(model)
    main = model.subgraphs[0]
    signature = next((each for each in model.signatureDefs if each.subgraphIndex == 0), None)

    def names(tensors, entries):
        named = {entry.tensorIndex: entry.name for entry in entries}
        return [named.get(t, main.tensors[t].name) for t in tensors]

    inputs, outputs = (signature.inputs, signature.outputs) if signature else ((), ())
    return names(main.inputs, inputs), names(main.outputs, outputs)


METADATA_NAME = "keras_dynamic"
_KEYS = (("when", True), ("unless", False))


def cost_table(node: Node) -> list[dict[str, Any]]:
    """Returns a cost tree as the metadata has it: [{'macs', 'when': decisions that must all be 1, 'unless': all 0}]."""
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


def spent_on_parts(table, decisions, parts, count) -> np.ndarray:
    """Returns what each of so many images costs, [count]: of each part the share of its MACs that runs.

    Args:
        table: {part: cost with everything on}; a part that is not in `parts` always runs.
        decisions: {name: 0/1 array [count]}.
        parts: the metadata's, {part: cost table}.
        count: of images.
    """
    total = np.zeros(count)
    for name, cost in table.items():
        own = parts.get(name)
        total += cost * (macs_under(own, decisions) / sum(part["macs"] for part in own) if own else 1)
    return total


def metadata_of(model: Model) -> dict[str, Any] | None:
    """Returns the metadata that export stored in a parsed model, None if there is none; see read_metadata."""
    for entry in model.metadata:
        if entry.name == METADATA_NAME:
            try:
                found = json.loads(bytes(model.buffers[entry.buffer].data))
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"The model's {METADATA_NAME!r} metadata is no JSON ({error}); export it again."
                ) from None
            _check_form(found)
            return found
    return None


_TEXTS = [str]
_COST = [{"macs": int, "when": _TEXTS, "unless?": _TEXTS}]
# What entries hold: a type, a list of one form, or a dictionary of forms, where '?' ends the names of what may be left
# out and '*' stands for any name; of a tuple, one of the forms. Entries that are not here may hold anything.
_FORM: dict[str, Any] = {
    "decisions?": _TEXTS,
    "constant?": {"*": bool},
    "exits?": _TEXTS,
    "units?": _TEXTS,
    "cost?": _COST,
    "parts?": {"*": _COST},
    "names?": _TEXTS,
    "macs_unit?": int,
    "notes?": _TEXTS,
    "quantize?": (str, None),
    "pixels?": bool,
    "task?": str,
    "threshold_names?": _TEXTS,
    "measures?": _TEXTS,
    "thresholds?": [(float, None)],
    "budgets?": [{"macs?": float, "macs_mean?": float, "thresholds": [(float, None)], "stops?": [float]}],
    "budget?": {"unit": int, "least": float, "macs": (float, None)},
    "normalization?": ([(float, [float])], None),
    "stages?": _TEXTS,
    "stage_inputs?": [_TEXTS],
    "stage_outputs?": [_TEXTS],
    "stage_macs?": [int],
    "stops_at?": (int, [int]),
    "stage?": int,
    "stage_count?": int,
    "stages_of?": str,
}


def _check_form(found) -> None:
    """Raises a ValueError unless metadata is a dictionary whose known entries have their form."""
    wrong = [] if isinstance(found, dict) else ["all of it"]
    wrong += [key for key, form in _FORM.items() if not wrong and not _has_form(found, {key: form})]
    if not wrong and len(set(found.get("decisions", ()))) < len(found.get("decisions", ())):
        wrong = ["decisions"]
    if wrong:
        raise ValueError(
            f"The model's {METADATA_NAME!r} metadata is not as export writes it ({wrong[0].rstrip('?')}); export it "
            "again."
        )


def _has_form(value, form) -> bool:
    """Returns whether a JSON value has a form, see _FORM; whole numbers are at least 0."""
    if isinstance(form, tuple):
        return any(_has_form(value, each) for each in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(_has_form(each, form[0]) for each in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and _has_entries(value, form)
    if form is None or isinstance(value, bool) or form is bool:
        return value is None if form is None else isinstance(value, bool) and form is bool
    if form is float:
        return isinstance(value, (int, float)) and not math.isnan(value)
    return isinstance(value, form) and (form is str or value >= 0)


def _has_entries(value, form) -> bool:
    """Returns whether a dictionary has the entries of a form."""
    if "*" in form:
        return all(_has_form(each, form["*"]) for each in value.values())
    for key, inner in form.items():
        name = key.removesuffix("?")
        if not (_has_form(value[name], inner) if name in value else name != key):
            return False
    return True


def read_metadata(model: bytes) -> dict[str, Any] | None:
    """Returns the metadata that export stored in a .tflite: decisions, cost table and more; None if there is none.

    Raises:
        ValueError: if the bytes are no whole .tflite, or the metadata is no JSON.
    """
    return metadata_of(flatbuffer.load(model))


def metadata_needed(model: bytes | Model) -> dict[str, Any]:
    """Returns the metadata of a model that export has written, given as bytes or parsed.

    Raises:
        ValueError: if it has none.
    """
    found = read_metadata(model) if isinstance(model, bytes) else metadata_of(model)
    if found is None:
        raise ValueError(
            f"Expected a .tflite with {METADATA_NAME!r} metadata, got one without; export it with keras_dynamic, "
            "or give a plain network's file to lite.adopt first."
        )
    return found


def write_metadata(model: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Returns a .tflite's bytes with this package's metadata, which JSON can express, in place of any former ones."""
    return flatbuffer.edited(model, set_metadata, metadata)


def set_metadata(model: Model, metadata: Mapping[str, Any]) -> None:
    """Gives a parsed model this package's metadata, in place. Arguments as in write_metadata."""
    content = json.dumps(metadata, separators=(",", ":")).encode()
    flatbuffer.set_metadata_entry(model, METADATA_NAME, content)
    flatbuffer.add_digest(model)


LABELS = "labels.txt"
LINE_END = re.compile(r"\r\n|\r|\n")  # as Java's readers have it, which Android's tools use


def read_labels(model: bytes) -> list[str] | None:
    """Returns the names of a .tflite's classes, those of its file labels.txt; None if it has none.

    Raises:
        ValueError: if the bytes are no .tflite.
    """
    found = flatbuffer.files_of(flatbuffer.identified(model)).get(LABELS)
    if found is None:
        return None
    *names, last = LINE_END.split(found.decode())
    return [*names, last] if last else names


def read_normalization(model: bytes) -> tuple[float, float] | None:
    """Returns (mean, std) of a .tflite whose input is (pixel - mean) / std; None if the file does not say.

    Raises:
        ValueError: if the bytes are no whole .tflite, or lack the metadata that export writes.
    """
    found = metadata_needed(model).get("normalization")
    return None if found is None else tuple(found)
