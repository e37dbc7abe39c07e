"""Writes a .tflite as C that needs no interpreter."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from keras_dynamic.files import replacing_folder
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source.calls import statements
from keras_dynamic.lite.c_source.interface import SHARED, Interface, check_folder, check_name, identifier, render
from keras_dynamic.lite.c_source.source import Source
from keras_dynamic.lite.metadata import metadata_needed
from keras_dynamic.lite.program import Block, If, Memory, Program, plan_memory, program_of

_HERE = Path(__file__).parent
KERNELS = ("kd_cmsis_nn.c", "kd_convolution.c", "kd_elementwise.c", "kd_places.c", "kd_reduce.c")
FLOAT_KERNELS = ("kd_float.c",)  # which need C's library of mathematics


class CSource(NamedTuple):
    """What to_c has written.

    Attributes:
        folder: that holds it.
        arena_bytes: memory for tensors.
        constant_bytes: of weights and parameters, which stay in flash.
    """

    folder: Path
    arena_bytes: int
    constant_bytes: int


def to_c(content, folder, name="kd_model") -> CSource:
    """Writes an int8 or float32 .tflite as plain C99, in which a condition is an `if`, without an interpreter.

    The folder gets `NAME.c` and `NAME.h`, the kernels, an example that classifies images from files, a Makefile, a
    CMakeLists.txt for CMake and ESP-IDF, a library.properties for Arduino and a README.md. Answers, decisions and MACs
    are those of LiteRT's reference kernels, bit for bit; in float32 if the C library's exp, log and tanh are those that
    LiteRT calls. Nothing is allocated: the caller gives one block of memory, in which the two branches of a
    condition lie over each other. No state is kept between images.

        written = kd.lite.to_c(kd.lite.export(model, "int8", images, ("logits", "decisions", "macs")), "firmware")

    Args:
        content: the bytes of a .tflite that export has written, int8 or float32.
        folder: new or empty folder.
        name: with which files, functions and types begin: lower case letters, digits and '_'.

    Returns:
        CSource: the folder and the bytes of memory that the model needs.

    Raises:
        ValueError: if the bytes are no whole .tflite, lack this package's metadata or an output named 'logits', are
            neither int8 nor float32, are a stage's, or have an operator without a kernel; the folder is not empty, or
            name is not one.
    """
    check_name(name)
    folder, model = check_folder(folder), flatbuffer.load(content)
    metadata = metadata_needed(model)
    if metadata["quantize"] not in ("int8", None):
        raise ValueError(
            f"to_c takes int8 and float32 files, got one with quantize={metadata['quantize']!r}; export the model with "
            "quantize='int8' and held-out images for calibration, or with quantize=None."
        )
    written = _Writer(model, metadata, name)
    with replacing_folder(folder) as made:
        render(_files(name), written.values(), made)
        for each in ("kd_kernels.h", *written.kernels):
            shutil.copy(_HERE / "kernels" / each, made / "src" / each)
    return CSource(folder, written.memory.size, written.constant_bytes)


def _files(name) -> dict[str, str]:
    """Returns {template: path} of all but the kernels."""
    own = {"model.h": f"src/{name}.h", "model.c": f"src/{name}.c"}
    return own | SHARED | {each: each for each in ("Makefile", "CMakeLists.txt", "library.properties", "README.md")}


class _Writer:
    """The text of one model's files.

    Attributes:
        memory: where its tensors lie.
        constant_bytes: of weights and parameters.
        kernels: names of the files of kernels.
    """

    def __init__(self, model, metadata, name):
        self._model, self._name, self._interface = model, name, Interface(model, metadata)
        self._program: Program = program_of(model)
        self.memory: Memory = plan_memory(self._program)
        inputs = [f"inputs->{identifier(port.name)}" for port in self._interface.inputs]
        self._source = Source(model, self.memory.offsets, inputs)
        self._functions = [self._function(block) for block in self._program.main.blocks()]
        self.constant_bytes = self._source.constant_bytes
        floats = any("_f32(" in each for each in self._functions)
        self.kernels = KERNELS + (FLOAT_KERNELS if floats else ())

    def values(self) -> dict[str, Any]:
        """Returns what the templates name."""
        values = self._interface.values(self._name)
        places = zip(values["outputs"], self._program.outputs, strict=True)
        return values | {
            "offsets": {port.name: self.memory.offsets[value] for port, value in places},
            "interpreter": False,
            "arena_bytes": self.memory.size,
            "constant_bytes": self.constant_bytes,
            "constants": self._source.constants,
            "functions": self._functions,
            "sources": [f"src/{each}" for each in (f"{self._name}.c", *self.kernels)],
        }

    def _function(self, block: Block) -> str:
        """Returns the C function of a block."""
        lines = []
        for step in block.steps:
            if isinstance(step, If):
                lines.append(f"if (*{self._source.pointer(step.condition)}) {{")
                lines.append(f"  {self._function_name(step.then)}(inputs, memory);")
                lines.append("} else {")
                lines.append(f"  {self._function_name(step.otherwise)}(inputs, memory);")
                lines.append("}")
                continue
            lines += statements(self._source, step)
        body = "\n".join(f"  {line}" for line in ["(void)inputs;", "(void)memory;", *lines])
        return f"static void {self._function_name(block)}(const model_inputs *inputs, uint8_t *memory) {{\n{body}\n}}"

    def _function_name(self, block) -> str:
        if block is self._program.main:
            return "run"
        return f"branch{block.number}_{identifier(self._model.subgraphs[block.number].name)}"
