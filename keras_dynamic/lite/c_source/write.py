"""Writes a .tflite as C that needs no interpreter."""

import math
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from keras_dynamic.files import replacing_folder
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.budget import BUDGET, UNLIMITED
from keras_dynamic.lite.c_source.calls import statements
from keras_dynamic.lite.c_source.program import Block, If, Memory, Program, plan_memory, program_of
from keras_dynamic.lite.c_source.source import Source
from keras_dynamic.lite.interpreter import encode, port_of
from keras_dynamic.lite.metadata import metadata_needed, signature_names
from keras_dynamic.lite.thresholds import THRESHOLDS, given_or_noted

_HERE = Path(__file__).parent
KERNELS = ("kd_convolution.c", "kd_elementwise.c", "kd_places.c", "kd_reduce.c")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Files of C's library and of the kernels, and targets of the Makefile, that a model's own would hide.
_TAKEN = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef "
    "stdint stdio stdlib string tgmath time wchar wctype classify clean test all install".split()
) | {Path(name).stem for name in (*KERNELS, "kd_kernels.h")}
_KEYWORDS = frozenset(
    "auto bool break case char class const continue default delete do double else enum extern false float for goto if "
    "inline int long namespace new private protected public register restrict return short signed sizeof static struct "
    "switch template this true typedef union unsigned void volatile while".split()
)


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
    """Writes an int8 .tflite as plain C99, in which a condition is an `if`, without an interpreter.

    The folder gets `NAME.c` and `NAME.h`, the kernels, an example that classifies images from files, a Makefile, a
    CMakeLists.txt for CMake and ESP-IDF, a library.properties for Arduino and a README.md. Answers, decisions and MACs
    are those of LiteRT's reference kernels, bit for bit. Nothing is allocated: the caller gives one block of memory, in
    which the two branches of a condition lie over each other. No state is kept between images.

        written = kd.lite.to_c(kd.lite.export(model, "int8", images, ("logits", "decisions", "macs")), "firmware")

    Args:
        content: the bytes of an int8 .tflite that export has written.
        folder: new or empty folder.
        name: with which files, functions and types begin: lower case letters, digits and '_'.

    Returns:
        CSource: the folder and the bytes of memory that the model needs.

    Raises:
        ValueError: if the bytes are no whole .tflite, lack this package's metadata or an output named 'logits', are not
            int8, are a stage's, or have an operator without a kernel; the folder is not empty, or name is not one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN | _KEYWORDS:
        raise ValueError(
            "name must be of lower case letters, digits and '_', and none that C, the kernels or the Makefile have, "
            f"got {name!r}; take e.g. 'kd_model'."
        )
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder must be new or empty, got {str(folder)!r}; give another or remove what it holds.")
    model = flatbuffer.load(content)
    metadata = metadata_needed(model)
    if metadata["quantize"] != "int8":
        raise ValueError(
            f"to_c takes int8 files, got one with quantize={metadata['quantize']!r}; export the model with "
            "quantize='int8' and held-out images for calibration."
        )
    written = _Writer(model, metadata, name)
    with replacing_folder(folder) as made:
        for path, text in written.files().items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text)
        for each in ("kd_kernels.h", *KERNELS):
            shutil.copy(_HERE / "kernels" / each, made / "src" / each)
    return CSource(folder, written.memory.size, written.constant_bytes)


def _identifier(name: str) -> str:
    """Returns a name as C has it: letters, digits and '_'."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    return found if found and not found[0].isdigit() and found not in _KEYWORDS else f"x_{found}"


class _Port(NamedTuple):
    """An input or output as C has it.

    Attributes:
        name: of the variable.
        type: of an element.
        elements: how many.
        bytes: of them all.
        scale: of what elements stand for; 0 if they are the numbers themselves.
        zero: likewise.
    """

    name: str
    type: str
    elements: int
    bytes: int
    scale: float
    zero: int


def _as_c(port) -> _Port:
    """Returns a Port as C has it, or raises a ValueError if it has no type for it."""
    types = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t"}
    if port.dtype.name not in types:
        raise ValueError(f"to_c takes inputs and outputs of {list(types)}, got {port.name!r} of {port.dtype.name}.")
    count = math.prod(port.shape)
    size = count * port.dtype.itemsize
    return _Port(_identifier(port.name), types[port.dtype.name], count, size, port.scale, port.zero_point)


class _Writer:
    """The text of one model's files.

    Attributes:
        memory: where its tensors lie.
        constant_bytes: of weights and parameters.
    """

    def __init__(self, model, metadata, name):
        self._model, self._metadata, self._name = model, metadata, name
        inputs, outputs = signature_names(model)
        main = model.subgraphs[0]
        self._inputs = [port_of(port, main.tensors[t]) for port, t in zip(inputs, main.inputs, strict=True)]
        self._outputs = [port_of(port, main.tensors[t]) for port, t in zip(outputs, main.outputs, strict=True)]
        names = [port.name for port in self._outputs]
        if "logits" not in names or "stage" in metadata:
            raise ValueError(
                f"to_c takes whole files with an output 'logits', got the outputs {names}; export it again."
            )
        if len(set(map(_identifier, names))) < len(names):
            raise ValueError(f"names of outputs must differ in C too, got {names}; rename the exits.")
        self._logits = self._outputs[names.index("logits")]
        further = [port.name for port in self._inputs[1:]]
        if not set(further) <= {BUDGET, THRESHOLDS}:
            raise ValueError(
                f"to_c takes files whose inputs are an image, and perhaps thresholds and a budget, got {inputs}."
            )
        self._program: Program = program_of(model)
        self.memory: Memory = plan_memory(self._program)
        self._source = Source(
            model, self.memory.offsets, [f"inputs->{_identifier(port.name)}" for port in self._inputs]
        )
        self._functions = [self._function(block) for block in self._program.main.blocks()]
        self.constant_bytes = self._source.constant_bytes

    def files(self) -> dict[str, str]:
        """Returns {path: text} of all but the kernels."""
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        paths = {
            "model.h": f"src/{self._name}.h",
            "model.c": f"src/{self._name}.c",
            "classify.c": "examples/classify.c",
            **{name: f"examples/emulator/{name}" for name in ("startup.c", "mps2.ld", "mps3.ld", "sections.ld")},
            **{name: name for name in ("Makefile", "CMakeLists.txt", "library.properties", "README.md")},
        }
        values = self._values()
        return {path: environment.get_template(name).render(values) for name, path in paths.items()}

    def _values(self) -> dict[str, Any]:
        """Returns what the templates name."""
        image, *settings = map(_as_c, self._inputs)
        outputs = list(map(_as_c, self._outputs))
        shape, metadata = self._logits.shape, self._metadata
        classifies = metadata.get("task", "classes") == "classes" and len(shape) == 2
        noted = {THRESHOLDS: metadata.get("threshold_names"), "decisions": metadata["decisions"]}
        present = {port.name for port in (*settings, *outputs)}
        return {
            "name": self._name,
            "image": image,
            "image_shape": " x ".join(map(str, self._inputs[0].shape[1:])),
            "settings": settings,
            "defaults": {port.name: self._defaults(port) for port in self._inputs[1:]},
            "outputs": outputs,
            "offsets": {
                port.name: self.memory.offsets[value]
                for port, value in zip(outputs, self._program.outputs, strict=True)
            },
            "logits": _as_c(self._logits),
            "classes": shape[-1] if classifies else 0,
            "named": {name: values for name, values in noted.items() if name in present and values},
            "macs_unit": metadata.get("macs_unit", 1),
            "arena_bytes": self.memory.size,
            "constant_bytes": self.constant_bytes,
            "constants": self._source.constants,
            "functions": self._functions,
            "sources": [f"src/{each}" for each in (f"{self._name}.c", *KERNELS)],
        }

    def _defaults(self, port) -> list[int]:
        """Returns the file's own values of an input."""
        if port.name == BUDGET:
            return [UNLIMITED]
        return encode(given_or_noted(None, self._metadata), port).ravel().tolist()

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
        return f"branch{block.number}_{_identifier(self._model.subgraphs[block.number].name)}"
