"""The call of a kernel for each operator, with its parameters as constants."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source import fixed_point
from keras_dynamic.lite.c_source.fixed_point import ratio
from keras_dynamic.lite.c_source.program import Constant, Step, Value
from keras_dynamic.lite.flatbuffer import Model, Tensor

AXES = 5
_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "bool": "bool"}
_SHIFT_OF_SUMS, _SHIFT_OF_COMPARISONS = 20, 8
_MOST_COLUMNS = 4095  # of a softmax, whose sum has 12 bits before the point


def c_type(tensor: Tensor) -> str:
    """Returns the C type of a tensor's elements.

    Raises:
        ValueError: if kernels have none for it.
    """
    name = flatbuffer.dtype(tensor).name
    if name not in _C_TYPES:
        raise ValueError(
            f"to_c takes int8 files, but tensor {tensor.name!r} is {flatbuffer.type_name(tensor)}; export the model "
            "with quantize='int8'."
        )
    return _C_TYPES[name]


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
        self._names: dict[tuple, str] = {}

    def constant(self, kind: str, values, name: str) -> str:
        """Returns the name of a constant array of a C type, new or one of the same values."""
        values = np.asarray(values).ravel().tolist()
        width = 4 if kind == "int32_t" else 1
        return self._named((kind, tuple(values)), name, len(values), _wrapped(values), width)

    def ratios(self, values) -> str:
        """Returns the name of a constant array of kd_ratio for factors."""
        pairs = [ratio(value) for value in values]
        text = ", ".join(f"{{{multiplier}, {shift}}}" for multiplier, shift in pairs)
        return self._named(("kd_ratio", tuple(pairs)), "ratios", len(pairs), text, 8)

    def struct(self, kind: str, **fields) -> str:
        """Returns a pointer to a constant struct."""
        text = ", ".join(f".{name} = {_literal(value)}" for name, value in fields.items())
        return "&" + self._named((kind, text), kind.removeprefix("kd_"), 0, text, 4 * _numbers_in(fields))

    def _named(self, key, name, count, text, width) -> str:
        """Returns the name of a constant, an array if it has a count."""
        if key not in self._names:
            self._names[key] = made = f"{name}_{len(self._names)}"
            array = f"[{count}]" if count else ""
            self.constants.append(f"static const {key[0]} {made}{array} = {{{text}}};")
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
        return f"{kernel}({', '.join(map(str, arguments))});"


def _numbers_in(value) -> int:
    """Returns how many numbers and pointers nested fields hold."""
    if isinstance(value, dict):
        return sum(map(_numbers_in, value.values()))
    return sum(map(_numbers_in, value)) if isinstance(value, (tuple, list)) else 1


def _literal(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f".{name} = {_literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "{" + ", ".join(map(_literal, value)) + "}"
    return str(value)


def _wrapped(values) -> str:
    text = [str(int(value)) for value in values]
    if len(text) <= 24:
        return ", ".join(text)
    rows = [", ".join(text[k : k + 24]) for k in range(0, len(text), 24)]
    return "\n  " + ",\n  ".join(rows)


class _Numbers(NamedTuple):
    """How an int8 tensor stands for numbers."""

    scale: float
    zero: int


def _refused(operand, what) -> ValueError:
    """Returns the error for an operator that makes or reads an operand in a way that kernels cannot."""
    return ValueError(
        f"{operand.tensor.name!r} {what}, for which there is no kernel in C; express the layer in another way, or run "
        "the file on TensorFlow Lite Micro."
    )


def _numbers(operand) -> _Numbers:
    scales, zeros = flatbuffer.quantization(operand.tensor)
    if len(scales) != 1:
        raise _refused(operand, f"has {len(scales)} scales where one is needed")
    return _Numbers(scales[0], zeros[0])


def _known(source, operand) -> np.ndarray:
    """Returns the values of an operand that the file must hold."""
    if not isinstance(operand, Constant):
        raise _refused(operand, "is computed where the file must have the values")
    if not flatbuffer.is_constant(source.model, operand.tensor):
        return np.zeros(0, np.int64)  # a vector of no elements
    return flatbuffer.constant(source.model, operand.tensor)


def _shape(operand) -> tuple[int, ...]:
    return flatbuffer.shape(operand.tensor)


def _count(operand) -> int:
    return math.prod(_shape(operand))


def statements(source: Source, step: Step) -> list[str]:
    """Returns the C statements of a step; none for an operator that leaves everything where it is.

    Raises:
        ValueError: if there is no kernel for the operator, or not for its types and arguments.
    """
    if step.name not in _OPERATORS:
        made = f"{step.name} of {step.outputs[0].tensor.name!r}" if step.outputs else step.name
        raise ValueError(
            f"operator {made} has no kernel in C, expected one of {sorted(set(_OPERATORS) - {'COPY'})}; express the "
            "layer by these, or run the file on TensorFlow Lite Micro."
        )
    types = _TYPES.get(step.name, ("INT8",))
    operands = [each for each in step.inputs if isinstance(each, Value)]
    for operand in operands if types else ():
        if flatbuffer.type_name(operand.tensor) not in types:
            raise _refused(operand, f"is of {flatbuffer.type_name(operand.tensor)}, read by {step.name},")
    activation = getattr(step.operator.builtinOptions, "fusedActivationFunction", 0) if step.graph else 0
    if activation and step.name not in _ACTIVATED:
        raise _refused(step.outputs[0], f"is an activation in {step.name}")
    return _OPERATORS[step.name](source, step)


def _same_place(source, step):
    """Whether an operator's first operand and its result share memory."""
    operand = step.inputs[0]
    stays = isinstance(operand, Value) and operand.input is None
    return stays and source.offsets[operand] == source.offsets[step.outputs[0]]


def _moved(source, step) -> list[str]:
    """All elements, in their order."""
    if _same_place(source, step):
        return []
    count = _count(step.outputs[0])
    return [_copy(source, step.inputs[0], step.outputs[0], (count,), (1,), (1,))]


def _copy(source, operand, result, size, from_step, to_step, start=0, to=0) -> str:
    """Returns the call that copies a block of elements from steps of their own to others."""
    width = flatbuffer.dtype(result.tensor).itemsize
    if width not in (1, 4):
        raise _refused(result, f"has elements of {width} bytes")
    size, from_step, to_step = _merged(size, from_step, to_step)
    places = source.struct("kd_places", size=size, from_step=from_step, to_step=to_step, **{"from": start, "to": to})
    return source.call(f"kd_copy_{8 * width}", places, source.pointer(operand), source.pointer(result))


def _merged(size, *steps):
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


def _steps(shape) -> list[int]:
    """Returns how far apart neighbours of each axis lie."""
    return [math.prod(shape[k + 1 :]) for k in range(len(shape))]


def _window(source, step, weights=None) -> dict[str, Any]:
    """Returns the fields that windows over a feature map share; `weights` are the tensor's shape."""
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    (_, height, width, channels), (_, *out) = _shape(x), _shape(y)
    if _shape(x)[0] != 1:
        raise _refused(x, f"has a batch of {_shape(x)[0]}")
    kernel = (options.filterHeight, options.filterWidth) if weights is None else weights
    dilation = (1, 1) if weights is None else (options.dilationHFactor, options.dilationWFactor)
    strides = options.strideH, options.strideW
    same = options.padding == flatbuffer.schema().Padding.SAME
    pads = [
        max(0, (given - 1) * stride + (taps - 1) * gap + 1 - size) // 2 if same else 0
        for given, stride, taps, gap, size in zip(out[:2], strides, kernel, dilation, (height, width), strict=True)
    ]
    numbers = _numbers(y)
    least, most = fixed_point.activation_range(options.fusedActivationFunction, *numbers)
    return {
        "in": {"height": height, "width": width, "channels": channels},
        "out": dict(zip(("height", "width", "channels"), out, strict=True)),
        **dict(zip(("kernel_height", "kernel_width"), kernel, strict=True)),
        **dict(zip(("stride_height", "stride_width"), strides, strict=True)),
        **dict(zip(("pad_top", "pad_left"), pads, strict=True)),
        **dict(zip(("dilation_height", "dilation_width"), dilation, strict=True)),
        "in_zero": _numbers(x).zero,
        "out_zero": numbers.zero,
        "least": least,
        "most": most,
    }


def _weighted(source, step) -> dict[str, str]:
    """Returns the fields for weights, biases and ratios of scales."""
    x, weights, bias = (*step.inputs, None)[:3]
    scales, zeros = flatbuffer.quantization(weights.tensor)
    if any(zeros):
        raise _refused(weights, "has weights with zero points")
    given, made = _numbers(x).scale, _numbers(step.outputs[0]).scale
    outputs = _shape(step.outputs[0])[-1]
    scales = scales if len(scales) == outputs else scales * outputs
    return {
        "weights": source.constant("int8_t", flatbuffer.constant(source.model, weights.tensor), "weights"),
        "bias": "0"
        if bias is None
        else source.constant("int32_t", flatbuffer.constant(source.model, bias.tensor), "bias"),
        "ratios": source.ratios([given * scale / made for scale in scales]),
    }


def _conv(source, step):
    channels, (_, height, width, given) = _shape(step.inputs[0])[-1], _shape(step.inputs[1])
    if given != channels:
        raise _refused(step.outputs[0], "is a convolution of groups of channels")
    p = source.struct("kd_window", **_window(source, step, (height, width)), **_weighted(source, step))
    return [source.call("kd_conv_s8", p, *_ends(source, step))]


def _depthwise(source, step):
    _, height, width, _ = _shape(step.inputs[1])
    p = source.struct("kd_window", **_window(source, step, (height, width)), **_weighted(source, step))
    return [source.call("kd_depthwise_conv_s8", p, *_ends(source, step))]


def _pool(kernel):
    def make(source, step):
        return [source.call(kernel, source.struct("kd_window", **_window(source, step)), *_ends(source, step))]

    return make


def _dense(source, step):
    x, weights, (y,) = step.inputs[0], step.inputs[1], step.outputs
    outputs, inputs = _shape(weights)
    if _count(x) != inputs or _count(y) != outputs:
        raise _refused(y, f"is a dense layer of {_count(x) // inputs} rows")
    fields = _weighted(source, step)
    kind = step.operator.builtinOptions.fusedActivationFunction
    least, most = fixed_point.activation_range(kind, *_numbers(y))
    zeros = {"in_zero": _numbers(x).zero, "out_zero": _numbers(y).zero}
    p = source.struct("kd_dense", inputs=inputs, outputs=outputs, **zeros, least=least, most=most, **fields)
    return [source.call("kd_dense_s8", p, *_ends(source, step))]


def _ends(source, step) -> tuple[str, str]:
    return source.pointer(step.inputs[0]), source.pointer(step.outputs[0])


def _pairs(one, other, result) -> dict[str, Any]:
    """Returns the fields of kd_pairs for two operands of which one may be repeated along axes."""
    shape = _shape(result)

    def repeated(operand):
        own = (1,) * (len(shape) - len(_shape(operand))) + _shape(operand)
        return [0 if size == 1 else step for size, step in zip(own, _steps(own), strict=True)]

    size, step1, step2 = _merged(shape, repeated(one), repeated(other))
    return {"size": size, "step1": step1, "step2": step2}


def _operands(source, step):
    return [source.pointer(each) for each in (*step.inputs, *step.outputs)]


def _arithmetic(kernel, ratios, left_shift):
    """An operator on two int8 tensors whose scales differ."""

    def make(source, step):
        (one, other), (y,) = step.inputs, step.outputs
        numbers = [_numbers(one), _numbers(other), _numbers(y)]
        kind = getattr(step.operator.builtinOptions, "fusedActivationFunction", 0)
        least, most = fixed_point.activation_range(kind, *numbers[2])
        zeros = dict(zip(("zero1", "zero2", "out_zero"), (each.zero for each in numbers), strict=True))
        factors = dict(zip(("ratio1", "ratio2", "out_ratio"), ratios(*(each.scale for each in numbers)), strict=True))
        p = source.struct(
            "kd_arithmetic",
            pairs=_pairs(one, other, y),
            left_shift=left_shift,
            **zeros,
            least=least,
            most=most,
            **factors,
        )
        return [source.call(kernel, p, *_operands(source, step))]

    return make


def _ratios_of_sum(one, other, result):
    twice = 2 * max(one, other)
    return ratio(one / twice), ratio(other / twice), ratio(twice / ((1 << _SHIFT_OF_SUMS) * result))


def _ratios_of_product(one, other, result):
    product = np.float32(one) * np.float32(other) / np.float32(result)  # TensorFlow Lite's are of single precision
    return (0, 0), (0, 0), ratio(float(product))


def _compared(kernel, swapped):
    """A comparison; swapped for those that are others with their operands exchanged."""

    def make(source, step):
        one, other = reversed(step.inputs) if swapped else step.inputs
        (y,) = step.outputs
        if flatbuffer.type_name(one.tensor) == "INT32":
            p = source.struct("kd_pairs", **_pairs(one, other, y))
            return [source.call(f"{kernel}_s32", p, *map(source.pointer, (one, other, y)))]
        (scale1, zero1), (scale2, zero2) = _numbers(one), _numbers(other)
        fields = {
            "left_shift": _SHIFT_OF_COMPARISONS,
            "zero1": zero1,
            "zero2": zero2,
            "out_zero": 0,
            "least": 0,
            "most": 1,
        }
        factors = {"ratio1": ratio(scale1), "ratio2": ratio(scale2), "out_ratio": (0, 0)}
        p = source.struct("kd_arithmetic", pairs=_pairs(one, other, y), **fields, **factors)
        return [source.call(f"{kernel}_s8", p, *map(source.pointer, (one, other, y)))]

    return make


def _by_type(int8, int32):
    """An operator on two tensors, of int8 or of int32."""

    def make(source, step):
        if flatbuffer.type_name(step.outputs[0].tensor) == "INT8":
            return int8(source, step)
        if step.operator.builtinOptions is not None and step.operator.builtinOptions.fusedActivationFunction:
            raise _refused(step.outputs[0], "is an activation of int32 numbers")
        p = source.struct("kd_pairs", **_pairs(*step.inputs, *step.outputs))
        return [source.call(int32, p, *_operands(source, step))]

    return make


def _plain_pairs(kernel):
    def make(source, step):
        p = source.struct("kd_pairs", **_pairs(*step.inputs, *step.outputs))
        return [source.call(kernel, p, *_operands(source, step))]

    return make


def _select(source, step):
    condition, one, other = step.inputs
    if _count(condition) != 1:
        raise ValueError(
            f"{step.outputs[0].tensor.name!r} selects by {_count(condition)} conditions, kernels in C by one."
        )
    p = source.struct("kd_pairs", **_pairs(one, other, step.outputs[0]))
    return [source.call("kd_select_s8", p, *_operands(source, step))]


def _lookup(source, step):
    table = fixed_point.lookup_table(source.model, step.graph, step.place)
    if np.array_equal(table, np.arange(-128, 128)):
        return _moved(source, step)
    name = source.constant("int8_t", table, "table")
    x, y = _ends(source, step)
    x = x if flatbuffer.type_name(step.inputs[0].tensor) == "INT8" else f"(const int8_t *){x}"
    return [source.call("kd_lookup_s8", name, _count(step.outputs[0]), x, y)]


def _cast(source, step):
    x, (y,) = step.inputs[0], step.outputs
    kinds = c_type(x.tensor), c_type(y.tensor)
    if kinds != ("bool", "int32_t"):
        raise _refused(y, f"is a cast of {kinds[0]} to {kinds[1]}")
    return [source.call("kd_bool_to_s32", _count(y), *_ends(source, step))]


def _reduce(kernel):
    def make(source, step):
        (x, axes), (y,) = step.inputs, step.outputs
        shape = _shape(x)
        over = sorted({int(axis) % len(shape) for axis in _values(source, axes)})
        wide = [axis for axis in over if shape[axis] > 1]
        first, end = (wide[0], wide[-1] + 1) if wide else (0, 0)
        if any(shape[axis] > 1 and axis not in over for axis in range(first, end)):
            raise ValueError(
                f"{y.tensor.name!r} reduces the axes {over} of {shape}, kernels in C those that lie together."
            )
        (given, zero), (made, out_zero) = _numbers(x), _numbers(y)
        factor = fixed_point.ratio_of_mean(given / made, math.prod(shape[first:end]))
        sizes = {
            "outer": math.prod(shape[:first]),
            "count": math.prod(shape[first:end]),
            "inner": math.prod(shape[end:]),
        }
        p = source.struct("kd_reduced", **sizes, in_zero=zero, out_zero=out_zero, ratio=factor)
        return [source.call(kernel, p, *_ends(source, step))]

    return make


def _softmax(source, step):
    x, (y,) = step.inputs[0], step.outputs
    if _numbers(y) != _Numbers(1 / 256, -128):
        raise _refused(y, f"is a softmax of scale {_numbers(y).scale:g} and zero {_numbers(y).zero}")
    columns = _shape(x)[-1]
    if columns > _MOST_COLUMNS:
        raise _refused(y, f"is a softmax over {columns} numbers, more than {_MOST_COLUMNS}")
    table, least = fixed_point.softmax_table(_numbers(x).scale, step.operator.builtinOptions.beta)
    exponentials = source.constant("int32_t", table, "exponentials")
    fields = {"rows": _count(x) // columns, "columns": columns, "least_difference": least}
    p = source.struct("kd_softmax", **fields, exponentials=exponentials)
    return [source.call("kd_softmax_s8", p, *_ends(source, step))]


def _values(source, operand) -> list[int]:
    return _known(source, operand).ravel().tolist()


def _pad(source, step):
    x, (y,), shape = step.inputs[0], step.outputs, _shape(step.outputs[0])
    before = _values(source, step.inputs[1])[::2]
    steps = _steps(shape)
    to = sum(count * step for count, step in zip(before, steps, strict=True))
    fill = source.call("kd_fill_s8", _numbers(y).zero, _count(y), source.pointer(y))
    return [fill, _copy(source, x, y, _shape(x), _steps(_shape(x)), steps, 0, to)]


def _slice(source, step):
    x, (y,) = step.inputs[0], step.outputs
    begin, steps = _values(source, step.inputs[1]), _steps(_shape(x))
    start = sum(place * step for place, step in zip(begin, steps, strict=True))
    return [_copy(source, x, y, _shape(y), steps, _steps(_shape(y)), start)]


def _strided_slice(source, step):
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    begin, end, strides = (_values(source, each) for each in step.inputs[1:])
    if options.ellipsisMask or options.newAxisMask or options.offset or any(stride < 1 for stride in strides):
        raise _refused(y, "is a slice with new axes, or backwards")
    start, size, from_step = 0, [], []
    for axis, (whole, step_of_axis) in enumerate(zip(_shape(x), _steps(_shape(x)), strict=True)):
        if axis >= len(begin):
            taken = range(whole)
        elif options.shrinkAxisMask >> axis & 1:
            taken = range(whole)[begin[axis] :][:1]
        else:
            first = None if options.beginMask >> axis & 1 else begin[axis]
            last = None if options.endMask >> axis & 1 else end[axis]
            taken = range(whole)[first : last : strides[axis]]
        start += taken.start * step_of_axis
        size.append(len(taken))
        from_step.append(taken.step * step_of_axis)
    return [_copy(source, x, y, size, from_step, _steps(size), start)]


def _concatenation(source, step):
    (y,) = step.outputs
    axis, shape = step.operator.builtinOptions.axis % len(_shape(y)), _shape(y)
    return _joined(source, step, [_shape(each) for each in step.inputs], axis, shape)


def _pack(source, step):
    (y,) = step.outputs
    axis = step.operator.builtinOptions.axis % len(_shape(y))
    shapes = [(*_shape(each)[:axis], 1, *_shape(each)[axis:]) for each in step.inputs]
    return _joined(source, step, shapes, axis, _shape(y))


def _joined(source, step, shapes, axis, shape):
    """Operands side by side along an axis."""
    (y,), found, place, steps = step.outputs, [], 0, _steps(shape)
    for operand, own in zip(step.inputs, shapes, strict=True):
        if flatbuffer.quantization(operand.tensor) != flatbuffer.quantization(y.tensor):
            raise _refused(y, "joins tensors of different scales")
        found.append(_copy(source, operand, y, own, _steps(own), steps, 0, place * steps[axis]))
        place += own[axis]
    return found


def _unpack(source, step):
    x, axis = step.inputs[0], step.operator.builtinOptions.axis % len(_shape(step.inputs[0]))
    return _parts(source, x, step.outputs, axis, [1] * len(step.outputs))


def _split(source, step):
    x = step.inputs[1]
    axis = _values(source, step.inputs[0])[0] % len(_shape(x))
    return _parts(source, x, step.outputs, axis, [_shape(y)[axis] for y in step.outputs])


def _parts(source, x, outputs, axis, widths):
    """Results that lie side by side along an axis of x."""
    shape, steps, found, place = _shape(x), _steps(_shape(x)), [], 0
    for y, width in zip(outputs, widths, strict=True):
        own = [*shape[:axis], width, *shape[axis + 1 :]]
        found.append(_copy(source, x, y, own, steps, _steps(own), place * steps[axis]))
        place += width
    return found


def _gather(source, step):
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    if options.batchDims:
        raise _refused(y, "takes other elements of each row")
    places, shape = _values(source, step.inputs[1]), _shape(x)
    axis, steps = options.axis % len(shape), _steps(_shape(x))
    own = [*shape[:axis], len(places), *shape[axis + 1 :]]
    found, k = [], 0
    while k < len(places):
        run = 1
        while k + run < len(places) and places[k + run] == places[k] + run:
            run += 1
        part = [*shape[:axis], run, *shape[axis + 1 :]]
        found.append(_copy(source, x, y, part, steps, _steps(own), places[k] * steps[axis], k * _steps(own)[axis]))
        k += run
    return found


def _transpose(source, step):
    x, (y,) = step.inputs[0], step.outputs
    order, steps = _values(source, step.inputs[1]), _steps(_shape(x))
    return [_copy(source, x, y, _shape(y), [steps[axis] for axis in order], _steps(_shape(y)))]


_OPERATORS: dict[str, Callable[[Source, Step], list[str]]] = {
    "ADD": _by_type(_arithmetic("kd_add_s8", _ratios_of_sum, _SHIFT_OF_SUMS), "kd_add_s32"),
    "SUB": _arithmetic("kd_sub_s8", _ratios_of_sum, _SHIFT_OF_SUMS),
    "MUL": _by_type(_arithmetic("kd_mul_s8", _ratios_of_product, 0), "kd_mul_s32"),
    "MAXIMUM": _plain_pairs("kd_maximum_s8"),
    "MINIMUM": _plain_pairs("kd_minimum_s8"),
    "LOGICAL_AND": _plain_pairs("kd_and"),
    "GREATER": _compared("kd_greater", swapped=False),
    "GREATER_EQUAL": _compared("kd_greater_equal", swapped=False),
    "LESS": _compared("kd_greater", swapped=True),
    "LESS_EQUAL": _compared("kd_greater_equal", swapped=True),
    "SELECT": _select,
    "SELECT_V2": _select,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "AVERAGE_POOL_2D": _pool("kd_average_pool_s8"),
    "MAX_POOL_2D": _pool("kd_max_pool_s8"),
    "MEAN": _reduce("kd_mean_s8"),
    "REDUCE_MAX": _reduce("kd_max_s8"),
    "SOFTMAX": _softmax,
    "CAST": _cast,
    **dict.fromkeys(("LOGISTIC", "TANH", "QUANTIZE", "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "EXP"), _lookup),
    **dict.fromkeys(("COPY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _moved),
    "PAD": _pad,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "GATHER": _gather,
    "TRANSPOSE": _transpose,
}

# Types of the computed operands; () for those that only move elements.
_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ADD", "MUL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"), ("INT8", "INT32")),
    **dict.fromkeys(("SELECT", "SELECT_V2"), ("BOOL", "INT8")),
    "LOGICAL_AND": ("BOOL",),
    "CAST": ("BOOL",),
    "QUANTIZE": ("INT8", "UINT8"),
    **dict.fromkeys(
        "COPY RESHAPE SQUEEZE EXPAND_DIMS SLICE STRIDED_SLICE PACK UNPACK SPLIT GATHER TRANSPOSE".split(), ()
    ),
    "CONCATENATION": (),
}
_ACTIVATED = frozenset("ADD SUB MUL CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D".split())
