"""C text that grows, and what operators ask of their operands."""

import math
from typing import NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source.fixed_point import ratio
from keras_dynamic.lite.flatbuffer import Model, Tensor
from keras_dynamic.lite.program import Constant, Value

AXES = 5
_C_TYPES = {"INT8": "int8_t", "UINT8": "uint8_t", "INT32": "int32_t", "BOOL": "bool", "FLOAT32": "float"}
_SUFFIXES = {"int8_t": "s8", "uint8_t": "s8", "bool": "s8", "int32_t": "s32", "float": "f32"}


def c_type(tensor: Tensor) -> str:
    """Returns the C type of a tensor's elements.

    Raises:
        ValueError: if kernels have none for it.
    """
    name = flatbuffer.type_name(tensor)
    if name not in _C_TYPES:
        raise ValueError(
            f"kernels in C take {sorted(_C_TYPES)}, but tensor {tensor.name!r} is {name}; export the model with "
            "quantize='int8' or None."
        )
    return _C_TYPES[name]


def suffix(operand) -> str:
    """Returns the end of the names of kernels for an operand's type; all types of one byte have the same."""
    return _SUFFIXES[c_type(operand.tensor)]


def is_float(operand) -> bool:
    """Returns whether an operand is of float32."""
    return flatbuffer.type_name(operand.tensor) == "FLOAT32"


class Source:
    """C text that grows: constants, each once, and where Values lie.

    Attributes:
        constants: text of all constants.
        constant_bytes: of them all, on a machine of 32 bits.

    Args:
        model: parsed.
        offsets: {Value: bytes}.
        inputs: C expressions for the model's inputs.
    """

    def __init__(self, model: Model, offsets: dict[Value, int], inputs: list[str]):
        self.model, self.offsets, self.inputs = model, offsets, inputs
        self.constants: list[str] = []
        self.constant_bytes = 0
        self._names: dict[tuple[str, str], str] = {}

    def constant(self, kind: str, values, name: str) -> str:
        """Returns the name of a constant array of a C type, new or one of the same values."""
        values = np.asarray(values).ravel().tolist()
        width = 4 if kind in ("int32_t", "float") else 1
        return self._named(kind, name, len(values), _wrapped(values), width)

    def ratios(self, values) -> str:
        """Returns the name of a constant array of kd_ratio for factors."""
        pairs = [ratio(value) for value in values]
        text = ", ".join(f"{{{multiplier}, {shift}}}" for multiplier, shift in pairs)
        return self._named("kd_ratio", "ratios", len(pairs), text, 8)

    def struct(self, kind: str, **fields) -> str:
        """Returns a pointer to a constant struct."""
        text = ", ".join(f".{name} = {literal(value)}" for name, value in fields.items())
        return "&" + self._named(kind, kind.removeprefix("kd_"), 0, text, 4 * _numbers_in(fields))

    def _named(self, kind, name, count, text, width) -> str:
        """Returns the name of a constant, an array if it has a count."""
        key = kind, text
        if key not in self._names:
            self._names[key] = made = f"{name}_{len(self._names)}"
            array = f"[{count}]" if count else ""
            self.constants.append(f"static const {kind} {made}{array} = {{{text}}};")
            self.constant_bytes += max(count, 1) * width
        return self._names[key]

    def pointer(self, operand: Value | Constant) -> str:
        """Returns a C expression of a typed pointer to an operand's first element."""
        kind = c_type(operand.tensor)
        if isinstance(operand, Constant):
            return self.constant(kind, flatbuffer.constant(self.model, operand.tensor), "values")
        if operand.input is not None:
            return self.inputs[operand.input]
        return f"({kind} *)(memory + {self.offsets[operand]})"

    def call(self, kernel: str, *arguments) -> str:
        """Returns the statement that calls a kernel."""
        return f"{kernel}({', '.join(map(literal, arguments))});"


def _numbers_in(value) -> int:
    """Returns how many numbers and pointers nested fields hold."""
    if isinstance(value, dict):
        return sum(map(_numbers_in, value.values()))
    return sum(map(_numbers_in, value)) if isinstance(value, (tuple, list)) else 1


def literal(value) -> str:
    """Returns a value as C has it: an expression, a number, or fields or elements of such."""
    if isinstance(value, dict):
        return "{" + ", ".join(f".{name} = {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "{" + ", ".join(map(literal, value)) + "}"
    if isinstance(value, float):
        return _float(value)
    return str(int(value) if isinstance(value, bool) else value)


def _float(value) -> str:
    """Returns a number of float32 as C has it, exactly."""
    if math.isfinite(value):
        return f"{np.float32(value)!s}f"
    return "NAN" if math.isnan(value) else f"{'-' if value < 0 else ''}INFINITY"


def _wrapped(values) -> str:
    text = list(map(literal, values))
    if len(text) <= 24:
        return ", ".join(text)
    rows = [", ".join(text[k : k + 24]) for k in range(0, len(text), 24)]
    return "\n  " + ",\n  ".join(rows)


class Numbers(NamedTuple):
    """How an int8 tensor stands for numbers."""

    scale: float
    zero: int


def refused(operand, what) -> ValueError:
    """Returns the error for an operator that makes or reads an operand in a way that kernels cannot."""
    return ValueError(
        f"{operand.tensor.name!r} {what}, for which there is no kernel in C; express the layer in another way, or run "
        "the file on TensorFlow Lite Micro."
    )


def numbers_of(operand) -> Numbers:
    """Returns an int8 operand's scale and zero, or raises a ValueError if it has one for each channel, or none."""
    scales, zeros = flatbuffer.quantization(operand.tensor)
    if len(scales) != 1:
        raise refused(operand, f"has {len(scales)} scales where one is needed")
    return Numbers(scales[0], zeros[0])


def known(source, operand) -> np.ndarray:
    """Returns the values of an operand that the file must hold."""
    if not isinstance(operand, Constant):
        raise refused(operand, "is computed where the file must have the values")
    if not flatbuffer.is_constant(source.model, operand.tensor):
        return np.zeros(0, np.int64)  # a vector of no elements
    return flatbuffer.constant(source.model, operand.tensor)


def shape_of(operand) -> tuple[int, ...]:
    """Returns an operand's shape."""
    return flatbuffer.shape(operand.tensor)


def count_of(operand) -> int:
    """Returns how many elements an operand has."""
    return math.prod(shape_of(operand))


def merged(size, *steps):
    """Returns sizes and steps with as few axes as possible, in AXES places, the last the innermost.

    Raises:
        ValueError: if they need more.
    """
    axes: list[tuple] = []
    for each in zip(size, *steps, strict=True):
        if each[0] == 1:
            continue
        if axes and all(outer == inner * each[0] for outer, inner in zip(axes[-1][1:], each[1:], strict=True)):
            axes[-1] = (axes[-1][0] * each[0], *each[1:])
        else:
            axes.append(each)
    if len(axes) > AXES:
        raise ValueError(f"an operator on {len(axes)} axes has no kernel in C, which have at most {AXES}.")
    axes = [(1, *[0] * len(steps))] * (AXES - len(axes)) + axes
    return tuple(tuple(column) for column in zip(*axes, strict=True))


def steps_of(shape) -> list[int]:
    """Returns how far apart neighbours of each axis lie."""
    return [math.prod(shape[k + 1 :]) for k in range(len(shape))]


def ends(source, step) -> tuple[str, str]:
    """Returns pointers to a step's first operand and first result."""
    return source.pointer(step.inputs[0]), source.pointer(step.outputs[0])


def values_of(source, operand) -> list[int]:
    """Returns an operand's values, which the file must hold."""
    return known(source, operand).ravel().tolist()
