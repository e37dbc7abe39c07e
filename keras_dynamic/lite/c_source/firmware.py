"""Writes a .tflite as a program for TensorFlow Lite Micro."""

from pathlib import Path
from typing import NamedTuple

from keras_dynamic.files import replacing_folder
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.arena import plan_arena
from keras_dynamic.lite.c_source.interface import SHARED, Interface, check_folder, check_name, render
from keras_dynamic.lite.metadata import metadata_needed
from keras_dynamic.lite.micro import MicroInterpreter
from keras_dynamic.lite.pooled_means import pool_means
from keras_dynamic.messages import is_count

MEANS = ("pooled", "whole")
_MARGIN = 1.1  # of the arena over what the interpreter takes here, where its kernels and pointers are others
_ROW = 24  # bytes of the model in a line
# The resolver's functions whose names are not the operator's with capitals.
_FUNCTIONS = {"BATCH_MATMUL": "AddBatchMatMul", "CUMSUM": "AddCumSum", "PADV2": "AddPadV2"}


class Firmware(NamedTuple):
    """What firmware has written.

    Attributes:
        folder: that holds it.
        arena_bytes: memory for the interpreter and its tensors.
        operators: the model's operators, the only ones that the program has.
        content: the .tflite that the program has.
    """

    folder: Path
    arena_bytes: int
    operators: tuple[str, ...]
    content: bytes


def firmware(content, folder, name="kd_model", arena_bytes=None, means="pooled") -> Firmware:
    """Writes a .tflite as a program for TensorFlow Lite Micro, whose library the user brings.

    The folder gets the model as an array, `NAME.h` and `NAME.cc`, which make an interpreter with exactly the model's
    operators, an example that classifies images from files, start-up code and linker scripts for emulated Cortex-M
    machines, a Makefile, a CMakeLists.txt and a README.md. Names and calls are those of to_c, but that the interpreter
    is started once and keeps its memory. The model has a plan of its tensors' memory, see plan_arena.

        made = kd.lite.firmware(kd.lite.export(model, "int8", images, ("logits", "macs")), "firmware")

    Args:
        content: the bytes of a .tflite that export has written, int8 or float32.
        folder: new or empty folder.
        name: with which files, functions and types begin: lower case letters, digits and '_'.
        arena_bytes: memory for the interpreter; None measures it here and adds a tenth.
        means: 'pooled' for the file as pool_means gives it, without which gates of int8 files may cost more than they
            save there, but of which a few decisions may differ; 'whole' for the file's own.

    Returns:
        Firmware: the folder, the memory, the operators, and the .tflite itself, to run here on MicroInterpreter.

    Raises:
        ValueError: if the bytes are no whole .tflite, lack this package's metadata or an output named 'logits', are a
            stage's, plan_arena or TensorFlow Lite Micro refuses them; arena_bytes is no positive int or means
            neither; the folder is not empty, or name is not one.
        ImportError: if tflite_micro isn't installed.
    """
    check_name(name)
    if means not in MEANS:
        raise ValueError(f"means must be one of {MEANS}, got {means!r}.")
    folder = check_folder(folder)
    content = plan_arena(pool_means(content) if means == "pooled" else content)
    model = flatbuffer.load(content)
    interface = Interface(model, metadata_needed(model))
    least = MicroInterpreter(content).arena_bytes()  # raises if it cannot run there
    if arena_bytes is None:
        given, note = _rounded(_MARGIN * least), f"The computer that wrote this takes {least:,} bytes."
    elif not is_count(arena_bytes):
        raise ValueError(f"arena_bytes must be a positive int or None, got {arena_bytes!r}.")
    else:
        given, note = _rounded(arena_bytes), f"Given; the computer that wrote this takes {least:,} bytes."
    operators = sorted({flatbuffer.op_name(model, each) for graph in model.subgraphs for each in graph.operators})
    values = interface.values(name) | {
        "interpreter": True,
        "arena_bytes": given,
        "arena_note": note,
        "model_bytes": len(content),
        "operators": [_FUNCTIONS.get(each, f"Add{each.title().replace('_', '')}") for each in operators],
        "operator_names": operators,
        "rows": [", ".join(map(str, content[at : at + _ROW])) for at in range(0, len(content), _ROW)],
    }
    templates = {"model.h": f"src/{name}.h", "tflm/model.cc": f"src/{name}.cc", "tflm/data.cc": f"src/{name}_data.cc"}
    own = {f"tflm/{each}": each for each in ("Makefile", "CMakeLists.txt", "README.md")}
    with replacing_folder(folder) as made:
        render(templates | SHARED | own, values, made)
    return Firmware(folder, given, tuple(operators), content)


def _rounded(size) -> int:
    """Returns bytes, up to a whole multiple of the alignment of tensors."""
    return -int(-size // 16) * 16
