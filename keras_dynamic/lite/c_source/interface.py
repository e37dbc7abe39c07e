"""What a program in C needs to know of a .tflite, and the files that every such program gets."""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from keras_dynamic.lite.budget import BUDGET, UNLIMITED
from keras_dynamic.lite.c_source.source import literal
from keras_dynamic.lite.interpreter import encode, port_of
from keras_dynamic.lite.metadata import signature_names
from keras_dynamic.lite.thresholds import THRESHOLDS, given_or_noted

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Files of C's library and of the kernels, and targets of the Makefile, that a model's own would hide.
_TAKEN = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef "
    "stdint stdio stdlib string tgmath time wchar wctype classify startup clean test all install "
    "kd_cmsis_nn kd_convolution kd_elementwise kd_float kd_places kd_reduce kd_kernels tflite".split()
)
_KEYWORDS = frozenset(
    "auto bool break case char class const continue default delete do double else enum extern false float for goto if "
    "inline int long namespace new private protected public register restrict return short signed sizeof static struct "
    "switch template this true typedef union unsigned void volatile while".split()
)
# Template and path of what every program gets, but for its header.
SHARED = {
    "classify.c": "examples/classify.c",
    **{name: f"examples/emulator/{name}" for name in ("startup.c", "mps2.ld", "mps3.ld", "sections.ld")},
}
_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "float32": "float"}


def check_name(name):
    """Raises a ValueError unless files, functions and types of C may begin with the name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN | _KEYWORDS:
        raise ValueError(
            "name must be of lower case letters, digits and '_', and none that C, the kernels or the Makefile have, "
            f"got {name!r}; take e.g. 'kd_model'."
        )


def check_folder(folder) -> Path:
    """Returns the path of a folder that is new or empty, or raises a ValueError."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder must be new or empty, got {str(folder)!r}; give another or remove what it holds.")
    return folder


def identifier(name: str) -> str:
    """Returns a name as C has it: letters, digits and '_'."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    return found if found and not found[0].isdigit() and found not in _KEYWORDS else f"x_{found}"


def render(templates, values, folder):
    """Writes {template: path in the folder} with what they name."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    for template, path in templates.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(environment.get_template(template).render(values))


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
    if port.dtype.name not in _TYPES:
        raise ValueError(f"C takes inputs and outputs of {list(_TYPES)}, got {port.name!r} of {port.dtype.name}.")
    count = math.prod(port.shape)
    size = count * port.dtype.itemsize
    return _Port(identifier(port.name), _TYPES[port.dtype.name], count, size, port.scale, port.zero_point)


class Interface:
    """What goes in and comes out of a .tflite: an image, perhaps thresholds and a budget; logits, and what else it has.

    Args:
        model: parsed .tflite.
        metadata: its metadata.

    Attributes:
        inputs, outputs: lists of Port.

    Raises:
        ValueError: if it has no logits, is a stage's, or has other inputs.
    """

    def __init__(self, model, metadata):
        self._metadata, main = metadata, model.subgraphs[0]
        inputs, outputs = signature_names(model)
        self.inputs = [port_of(port, main.tensors[t]) for port, t in zip(inputs, main.inputs, strict=True)]
        self.outputs = [port_of(port, main.tensors[t]) for port, t in zip(outputs, main.outputs, strict=True)]
        names = [port.name for port in self.outputs]
        if "logits" not in names or "stage" in metadata:
            raise ValueError(f"C takes whole files with an output 'logits', got the outputs {names}; export it again.")
        if len(set(map(identifier, names))) < len(names):
            raise ValueError(f"names of outputs must differ in C too, got {names}; rename the exits.")
        if not {port.name for port in self.inputs[1:]} <= {BUDGET, THRESHOLDS}:
            raise ValueError(
                f"C takes files whose inputs are an image, and perhaps thresholds and a budget, got {inputs}."
            )

    def values(self, name) -> dict[str, Any]:
        """Returns what the templates that all programs share name.

        Args:
            name: with which files, functions and types begin.
        """
        image, *settings = map(_as_c, self.inputs)
        outputs, metadata = list(map(_as_c, self.outputs)), self._metadata
        logits = next(port for port in self.outputs if port.name == "logits")
        classifies = metadata.get("task", "classes") == "classes" and len(logits.shape) == 2
        noted = {THRESHOLDS: metadata.get("threshold_names"), "decisions": metadata["decisions"]}
        present = {port.name for port in (*settings, *outputs)}
        return {
            "name": name,
            "image": image,
            "image_shape": " x ".join(map(str, self.inputs[0].shape[1:])),
            "settings": settings,
            "defaults": {port.name: self._defaults(port) for port in self.inputs[1:]},
            "outputs": outputs,
            "logits": _as_c(logits),
            "classes": logits.shape[-1] if classifies else 0,
            "named": {name: values for name, values in noted.items() if name in present and values},
            "macs_unit": metadata.get("macs_unit", 1),
        }

    def _defaults(self, port) -> list[str]:
        """Returns the file's own values of an input, as C has them."""
        if port.name == BUDGET:
            return [literal(UNLIMITED)]
        noted = given_or_noted(None, self._metadata).reshape(port.shape)
        return list(map(literal, encode(noted, port).ravel().tolist()))
