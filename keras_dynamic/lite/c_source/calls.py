"""The call of a kernel for each operator, with its parameters as constants."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source import fixed_point
from keras_dynamic.lite.c_source.fixed_point import ratio
from keras_dynamic.lite.c_source.moves import MOVES, moved
from keras_dynamic.lite.c_source.source import (
    Numbers,
    Source,
    c_type,
    count_of,
    ends,
    is_float,
    known,
    merged,
    numbers_of,
    refused,
    shape_of,
    steps_of,
    suffix,
    values_of,
)
from keras_dynamic.lite.program import Step, Value

_SHIFT_OF_SUMS, _SHIFT_OF_COMPARISONS = 20, 8
_MOST_COLUMNS = 4095  # of a softmax, whose sum has 12 bits before the point


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
    types = _TYPES.get(step.name, ("INT8", "FLOAT32"))
    operands = [each for each in step.inputs if isinstance(each, Value)]
    for operand in operands if types else ():
        if flatbuffer.type_name(operand.tensor) not in types:
            raise refused(operand, f"is of {flatbuffer.type_name(operand.tensor)}, read by {step.name}")
    if _activation(step) and step.name not in _ACTIVATED:
        raise refused(step.outputs[0], f"is an activation in {step.name}")
    return _OPERATORS[step.name](source, step)


def _activation(step) -> int:
    """Returns the kind of activation that is part of an operator."""
    return getattr(step.operator.builtinOptions, "fusedActivationFunction", 0) if step.graph else 0


def _range(step) -> dict[str, Any]:
    """Returns the fields for the zeros of an operator's first operand and result, and for its activation."""
    x, (y,) = step.inputs[0], step.outputs
    if is_float(y):
        return dict(zip(("least", "most"), fixed_point.activation_bounds(_activation(step)), strict=True))
    least, most = fixed_point.activation_range(_activation(step), *numbers_of(y))
    return {"in_zero": numbers_of(x).zero, "out_zero": numbers_of(y).zero, "least": least, "most": most}


def _window(step, weights=None) -> dict[str, Any]:
    """Returns the fields that windows over a feature map share; `weights` are the kernel's height and width."""
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    (_, height, width, channels), (_, *out) = shape_of(x), shape_of(y)
    if shape_of(x)[0] != 1:
        raise refused(x, f"has a batch of {shape_of(x)[0]}")
    kernel = (options.filterHeight, options.filterWidth) if weights is None else weights
    dilation = (1, 1) if weights is None else (options.dilationHFactor, options.dilationWFactor)
    strides = options.strideH, options.strideW
    same = options.padding == flatbuffer.schema().Padding.SAME
    pads = [
        max(0, (given - 1) * stride + (taps - 1) * gap + 1 - size) // 2 if same else 0
        for given, stride, taps, gap, size in zip(out[:2], strides, kernel, dilation, (height, width), strict=True)
    ]
    return {
        "in": {"height": height, "width": width, "channels": channels},
        "out": dict(zip(("height", "width", "channels"), out, strict=True)),
        **dict(zip(("kernel_height", "kernel_width"), kernel, strict=True)),
        **dict(zip(("stride_height", "stride_width"), strides, strict=True)),
        **dict(zip(("pad_top", "pad_left"), pads, strict=True)),
        **dict(zip(("dilation_height", "dilation_width"), dilation, strict=True)),
        **_range(step),
    }


def _weights(source, step) -> dict[str, str]:
    """Returns the fields for weights and biases."""
    x, weights, bias = (*step.inputs, None)[:3]
    kinds = c_type(x.tensor), c_type(weights.tensor)
    if kinds[0] != kinds[1]:
        raise refused(weights, f"has weights of {kinds[1]} for inputs of {kinds[0]}")
    sums = "float" if is_float(x) else "int32_t"
    return {
        "weights": source.constant(kinds[1], known(source, weights), "weights"),
        "bias": "0" if bias is None else source.constant(sums, known(source, bias), "bias"),
    }


def _ratios(step) -> list[float]:
    """Returns the ratios of scales of the inputs' products with weights and the results, for each output."""
    x, weights = step.inputs[:2]
    scales, zeros = flatbuffer.quantization(weights.tensor)
    if any(zeros):
        raise refused(weights, "has weights with zero points")
    given, made = numbers_of(x).scale, numbers_of(step.outputs[0]).scale
    outputs = shape_of(step.outputs[0])[-1]
    scales = scales if len(scales) == outputs else scales * outputs
    return [given * scale / made for scale in scales]


def _filtered(source, step, kernel) -> str:
    """Returns a pointer to the struct of a convolution, with kernel (height, width)."""
    fields = _window(step, kernel) | _weights(source, step)
    if is_float(step.inputs[0]):
        return source.struct("kd_window_f32", **fields)
    pairs = zip(*map(ratio, _ratios(step)), strict=True)
    for name, values in zip(("multipliers", "shifts"), pairs, strict=True):
        fields[name] = source.constant("int32_t", np.array(values), name)
    return source.struct("kd_window", **fields)


def _conv(source, step):
    channels, (_, height, width, given) = shape_of(step.inputs[0])[-1], shape_of(step.inputs[1])
    if given != channels:
        raise refused(step.outputs[0], "is a convolution of groups of channels")
    return _called("kd_conv", source, step, _filtered(source, step, (height, width)))


def _depthwise(source, step):
    _, height, width, _ = shape_of(step.inputs[1])
    return _called("kd_depthwise_conv", source, step, _filtered(source, step, (height, width)))


def _called(kernel, source, step, *parameters) -> list[str]:
    """The call of a kernel, by the type of the first operand, on this one and the result."""
    return [source.call(f"{kernel}_{suffix(step.inputs[0])}", *parameters, *ends(source, step))]


def _pool(kernel):
    def make(source, step):
        kind = "kd_window_f32" if is_float(step.inputs[0]) else "kd_window"
        return _called(kernel, source, step, source.struct(kind, **_window(step)))

    return make


def _dense(source, step):
    x, weights, (y,) = step.inputs[0], step.inputs[1], step.outputs
    outputs, inputs = shape_of(weights)
    rows = count_of(y) // outputs
    fields = _range(step) | _weights(source, step)
    if is_float(x):
        place = {"height": rows, "width": 1}
        sizes = dict.fromkeys(("kernel_height", "kernel_width", "stride_height", "stride_width"), 1)
        maps = {"in": place | {"channels": inputs}, "out": place | {"channels": outputs}}
        return _called("kd_conv", source, step, source.struct("kd_window_f32", **maps, **sizes, **fields))
    ratios = source.ratios(_ratios(step))
    p = source.struct("kd_dense", rows=rows, inputs=inputs, outputs=outputs, **fields, ratios=ratios)
    return _called("kd_dense", source, step, p)


def _pairs(one, other, result) -> dict[str, Any]:
    """Returns the fields of kd_pairs for two operands of which one may be repeated along axes."""
    shape = shape_of(result)

    def repeated(operand):
        own = (1,) * (len(shape) - len(shape_of(operand))) + shape_of(operand)
        return [0 if size == 1 else step for size, step in zip(own, steps_of(own), strict=True)]

    size, step1, step2 = merged(shape, repeated(one), repeated(other))
    return {"size": size, "step1": step1, "step2": step2}


def _operands(source, step):
    return [source.pointer(each) for each in (*step.inputs, *step.outputs)]


def _arithmetic(kernel, ratios, left_shift):
    """An operator on two tensors, of which those of int8 have scales that differ."""

    def make(source, step):
        (one, other), (y,) = step.inputs, step.outputs
        if suffix(y) != "s8":
            return _plain_pairs(kernel)(source, step) + _activated(source, step)
        numbers = [numbers_of(one), numbers_of(other), numbers_of(y)]
        least, most = fixed_point.activation_range(_activation(step), *numbers[2])
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
        return [source.call(f"{kernel}_s8", p, *_operands(source, step))]

    return make


def _activated(source, step):
    """The activation that is part of an operator, on its result."""
    (y,) = step.outputs
    if not _activation(step):
        return []
    if not is_float(y):
        raise refused(y, "is an activation of int32 numbers")
    bounds = fixed_point.activation_bounds(_activation(step))
    return [source.call("kd_clamp_f32", *bounds, count_of(y), source.pointer(y), source.pointer(y))]


def _ratios_of_sum(one, other, result):
    twice = 2 * max(one, other)
    return ratio(one / twice), ratio(other / twice), ratio(twice / ((1 << _SHIFT_OF_SUMS) * result))


def _ratios_of_product(one, other, result):
    product = np.float32(one) * np.float32(other) / np.float32(result)  # TensorFlow Lite's are of single precision
    return (0, 0), (0, 0), ratio(float(product))


def _compared(kernel, swapped):
    """A comparison; swapped for those that are others with their operands exchanged."""

    def make(source, step):
        if swapped:
            step = step._replace(inputs=step.inputs[::-1])
        (one, other), (y,) = step.inputs, step.outputs
        if suffix(one) != "s8":
            return _plain_pairs(kernel)(source, step)
        (scale1, zero1), (scale2, zero2) = numbers_of(one), numbers_of(other)
        p = source.struct(
            "kd_arithmetic",
            pairs=_pairs(one, other, y),
            left_shift=_SHIFT_OF_COMPARISONS,
            zero1=zero1,
            zero2=zero2,
            out_zero=0,
            least=0,
            most=1,
            ratio1=ratio(scale1),
            ratio2=ratio(scale2),
            out_ratio=(0, 0),
        )
        return [source.call(f"{kernel}_s8", p, *_operands(source, step))]

    return make


def _plain_pairs(kernel):
    """An operator on two tensors without parameters."""

    def make(source, step):
        p = source.struct("kd_pairs", **_pairs(*step.inputs, *step.outputs))
        return [source.call(f"{kernel}_{suffix(step.inputs[0])}", p, *_operands(source, step))]

    return make


def _select(source, step):
    condition, one, other = step.inputs
    if count_of(condition) != 1:
        raise refused(step.outputs[0], f"selects by {count_of(condition)} conditions")
    p = source.struct("kd_pairs", **_pairs(one, other, step.outputs[0]))
    return [source.call(f"kd_select_{suffix(one)}", p, *_operands(source, step))]


def _function(kernel, *parameters):
    """An operator of one number: a kernel with parameters for float32, a table of all that it gives for int8."""

    def make(source, step):
        if not is_float(step.inputs[0]):
            return _lookup(source, step)
        return _called(kernel, source, step, *parameters, count_of(step.outputs[0]))

    return make


def _leaky_relu(source, step):
    return _function("kd_leaky_relu", step.operator.builtinOptions.alpha)(source, step)


def _lookup(source, step):
    table = fixed_point.lookup_table(source.model, step.graph, step.place)
    if np.array_equal(table, np.arange(-128, 128)):
        return moved(source, step)
    name = source.constant("int8_t", table, "table")
    x, y = ends(source, step)
    x = x if flatbuffer.type_name(step.inputs[0].tensor) == "INT8" else f"(const int8_t *){x}"
    return [source.call("kd_lookup_s8", name, count_of(step.outputs[0]), x, y)]


def _cast(source, step):
    x, (y,) = step.inputs[0], step.outputs
    kinds = c_type(x.tensor), c_type(y.tensor)
    if kinds != ("bool", "int32_t"):
        raise refused(y, f"is a cast of {kinds[0]} to {kinds[1]}")
    return [source.call("kd_bool_to_s32", count_of(y), *ends(source, step))]


def _reduce(kernel):
    def make(source, step):
        (x, axes), (y,) = step.inputs, step.outputs
        shape = shape_of(x)
        over = sorted({int(axis) % len(shape) for axis in values_of(source, axes)})
        wide = [axis for axis in over if shape[axis] > 1]
        first, end = (wide[0], wide[-1] + 1) if wide else (0, 0)
        if any(shape[axis] > 1 and axis not in over for axis in range(first, end)):
            raise refused(y, f"reduces the axes {over} of {list(shape)}, which do not lie together")
        sizes = {
            "outer": math.prod(shape[:first]),
            "count": math.prod(shape[first:end]),
            "inner": math.prod(shape[end:]),
        }
        if is_float(x) or kernel != "kd_mean":
            return _called(kernel, source, step, source.struct("kd_reduced", **sizes))
        (given, zero), (made, out_zero) = numbers_of(x), numbers_of(y)
        factor = fixed_point.ratio_of_mean(given / made, sizes["count"])
        p = source.struct("kd_mean", axes=sizes, in_zero=zero, out_zero=out_zero, ratio=factor)
        return _called(kernel, source, step, p)

    return make


def _softmax(source, step):
    x, (y,), beta = step.inputs[0], step.outputs, step.operator.builtinOptions.beta
    columns = shape_of(x)[-1]
    if is_float(x):
        return _called("kd_softmax", source, step, beta, count_of(x) // columns, columns)
    if numbers_of(y) != Numbers(1 / 256, -128):
        raise refused(y, f"is a softmax of scale {numbers_of(y).scale:g} and zero {numbers_of(y).zero}")
    if columns > _MOST_COLUMNS:
        raise refused(y, f"is a softmax over {columns} numbers, more than {_MOST_COLUMNS}")
    table, least = fixed_point.softmax_table(numbers_of(x).scale, beta)
    exponentials = source.constant("int32_t", table, "exponentials")
    fields = {"rows": count_of(x) // columns, "columns": columns, "least_difference": least}
    p = source.struct("kd_softmax", **fields, exponentials=exponentials)
    return _called("kd_softmax", source, step, p)


def _log_softmax(source, step):
    count, columns = count_of(step.inputs[0]), shape_of(step.inputs[0])[-1]
    return _called("kd_log_softmax", source, step, count // columns, columns)


_OPERATORS: dict[str, Callable[[Source, Step], list[str]]] = {
    **MOVES,
    "ADD": _arithmetic("kd_add", _ratios_of_sum, _SHIFT_OF_SUMS),
    "SUB": _arithmetic("kd_sub", _ratios_of_sum, _SHIFT_OF_SUMS),
    "MUL": _arithmetic("kd_mul", _ratios_of_product, 0),
    "MAXIMUM": _plain_pairs("kd_maximum"),
    "MINIMUM": _plain_pairs("kd_minimum"),
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
    "AVERAGE_POOL_2D": _pool("kd_average_pool"),
    "MAX_POOL_2D": _pool("kd_max_pool"),
    "MEAN": _reduce("kd_mean"),
    "REDUCE_MAX": _reduce("kd_max"),
    "SUM": _reduce("kd_sum"),
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _log_softmax,
    "CAST": _cast,
    "QUANTIZE": _lookup,
    "RELU": _function("kd_clamp", 0.0, math.inf),
    "RELU6": _function("kd_clamp", 0.0, 6.0),
    "LEAKY_RELU": _leaky_relu,
    **{name: _function(f"kd_{name.lower()}") for name in ("LOGISTIC", "TANH", "HARD_SWISH", "EXP", "ABS")},
}

# Types of the computed operands; () for those that only move elements.
_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ADD", "MUL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"), ("INT8", "INT32", "FLOAT32")),
    **dict.fromkeys(("SELECT", "SELECT_V2"), ("BOOL", "INT8", "FLOAT32")),
    **dict.fromkeys(("SUM", "LOG_SOFTMAX"), ("FLOAT32",)),
    "LOGICAL_AND": ("BOOL",),
    "CAST": ("BOOL",),
    "QUANTIZE": ("INT8", "UINT8"),
    **dict.fromkeys(
        "COPY RESHAPE SQUEEZE EXPAND_DIMS SLICE STRIDED_SLICE PACK UNPACK SPLIT GATHER TRANSPOSE".split(), ()
    ),
    "CONCATENATION": (),
}
_ACTIVATED = frozenset("ADD SUB MUL CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D".split())
