"""Says what is wrong with the shapes around an operator: runtimes on microcontrollers take a file's word for them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def shape_fault(
    name: str, options: Any, inputs: Sequence[Shape], outputs: Sequence[Shape], values: Sequence[np.ndarray | None]
) -> str:
    """Returns what is wrong with the shapes of an operator, '' if nothing is, or no rule is known for it.

    Args:
        name: of the operator, such as 'CONV_2D'.
        options: its options in the schema.
        inputs: shapes of its operands, () of one that is left out.
        outputs: shapes of its results.
        values: of each operand that is a constant of integers, None of others.
    """
    rule = _RULES.get(name)
    if rule is None:
        return ""
    try:
        wanted = rule(options, inputs, values)
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        return f"its operands of shapes {[list(shape) for shape in inputs]} do not fit together ({error})"
    for place, (shape, found) in enumerate(zip(wanted, outputs, strict=False)):
        if shape is not None and tuple(shape) != found:
            return f"its result {place} has shape {list(found)}, expected {list(shape)}"
    return "" if len(wanted) == len(outputs) else f"it has {len(outputs)} results, expected {len(wanted)}"


def _windows(options, sizes, window) -> list[int]:
    """Returns height and width of what a window moves over."""
    found = []
    for size, extent, axis in zip(sizes, window, "HW", strict=True):
        stride = getattr(options, f"stride{axis}")
        reach = (extent - 1) * getattr(options, f"dilation{axis}Factor", 1) + 1
        found.append(-(-(size if options.padding == 0 else size - reach + 1) // stride))  # 0 is SAME
    if min(found) < 1:
        raise ValueError("the window is larger than the map")
    return found


def _is_bias(shapes, count) -> bool:
    """Returns whether operands after the weights are none, one that is left out, or so many numbers."""
    return not shapes or shapes[0] == () or math.prod(shapes[0]) == count


def _convolution(options, inputs, _):
    (batch, *sizes, channels), (filters, *window, own) = inputs[:2]
    if channels % own or filters % (channels // own) or not _is_bias(inputs[2:], filters):
        raise ValueError("channels")
    return [(batch, *_windows(options, sizes, window), filters)]


def _depthwise(options, inputs, _):
    (batch, *sizes, channels), (one, *window, filters) = inputs[:2]
    if one != 1 or filters % channels or not _is_bias(inputs[2:], filters):
        raise ValueError("channels")
    if options.depthMultiplier not in (0, filters // channels):
        raise ValueError("depth multiplier")
    return [(batch, *_windows(options, sizes, window), filters)]


def _pool(options, inputs, _):
    batch, *sizes, channels = inputs[0]
    return [(batch, *_windows(options, sizes, (options.filterHeight, options.filterWidth)), channels)]


def _dense(options, inputs, _):
    given, (units, depth) = inputs[:2]
    rows, left = divmod(math.prod(given), depth)
    if left or not _is_bias(inputs[2:], units):
        raise ValueError("units")
    if options.keepNumDims:
        if given[-1] != depth:
            raise ValueError("units")
        return [(*given[:-1], units)]
    return [(rows, units)]


def _same(_, inputs, __):
    return [inputs[0]]


def _broadcast(_, inputs, __):
    return [np.broadcast_shapes(*inputs)]


def _select(_, inputs, __):
    condition, one, other = inputs
    if one != other or (condition != one and math.prod(condition) != 1 and condition != one[:1]):
        return [np.broadcast_shapes(*inputs)]
    return [one]


def _axis(axis, rank) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis}")
    return axis % rank


def _concatenation(options, inputs, _):
    axis = _axis(options.axis, len(inputs[0]))
    for shape in inputs:
        if len(shape) != len(inputs[0]) or any(
            one != other for k, (one, other) in enumerate(zip(shape, inputs[0], strict=True)) if k != axis
        ):
            raise ValueError("sizes")
    joined = list(inputs[0])
    joined[axis] = sum(shape[axis] for shape in inputs)
    return [joined]


def _pack(options, inputs, _):
    if len(set(inputs)) != 1 or options.valuesCount != len(inputs):
        raise ValueError("sizes")
    axis = _axis(options.axis, len(inputs[0]) + 1)
    return [(*inputs[0][:axis], len(inputs), *inputs[0][axis:])]


def _reduced(options, inputs, values):
    if values[1] is None:
        raise ValueError("axes that only the run decides")
    rank = len(inputs[0])
    axes = {_axis(int(axis), rank) for axis in values[1].ravel()}
    if options.keepDims:
        return [tuple(1 if k in axes else size for k, size in enumerate(inputs[0]))]
    return [tuple(size for k, size in enumerate(inputs[0]) if k not in axes)]


def _pad(_, inputs, values):
    if values[1] is None:
        return [None]
    if values[1].shape != (len(inputs[0]), 2) or values[1].min(initial=0) < 0:
        raise ValueError("paddings")
    return [tuple(size + int(sum(more)) for size, more in zip(inputs[0], values[1], strict=True))]


def _slice(_, inputs, values):
    if values[1] is None or values[2] is None:
        return [None]
    found = []
    for size, begin, length in zip(inputs[0], values[1].ravel().tolist(), values[2].ravel().tolist(), strict=True):
        length = size - begin if length == -1 else length
        if begin < 0 or length < 0 or begin + length > size:
            raise ValueError(f"from {begin}, {length} of {size}")
        found.append(length)
    return [tuple(found)]


def _strided_slice(_, inputs, values):
    if any(value is not None and len(value) != len(inputs[0]) for value in values[1:4]):
        raise ValueError("begin, end and strides")
    if values[3] is not None and not values[3].all():
        raise ValueError("a stride of 0")
    return [None]


def _transpose(_, inputs, values):
    if values[1] is None:
        return [None]
    if sorted(values[1].tolist()) != list(range(len(inputs[0]))):
        raise ValueError("order of the axes")
    return [tuple(inputs[0][axis] for axis in values[1])]


def _tile(_, inputs, values):
    if values[1] is None:
        return [None]
    return [tuple(size * int(times) for size, times in zip(inputs[0], values[1], strict=True))]


def _gather(options, inputs, values):
    axis, batch = _axis(options.axis, len(inputs[0])), options.batchDims
    if batch or values[1] is None:
        return [None]
    if values[1].min(initial=0) < 0 or values[1].max(initial=0) >= inputs[0][axis]:
        raise ValueError("an index beyond the axis")
    return [(*inputs[0][:axis], *inputs[1], *inputs[0][axis + 1 :])]


def _split(options, inputs, values):
    if values[0] is None:
        raise ValueError("an axis that only the run decides")
    axis = _axis(int(values[0].item()), len(inputs[1]))
    size, left = divmod(inputs[1][axis], options.numSplits)
    if left:
        raise ValueError("sizes")
    return [(*inputs[1][:axis], size, *inputs[1][axis + 1 :])] * options.numSplits


_SAME = """ABS CAST CEIL DEQUANTIZE ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGICAL_NOT LOGISTIC LOG_SOFTMAX NEG
QUANTIZE RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SIN SOFTMAX SQRT SQUARE TANH ZEROS_LIKE"""
_BROADCAST = """ADD DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM
MINIMUM MUL NOT_EQUAL POW PRELU SQUARED_DIFFERENCE SUB"""
_REDUCED = "MEAN REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM"

_RULES: dict[str, Callable] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(_REDUCED.split(), _reduced),
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "GATHER": _gather,
    "MAX_POOL_2D": _pool,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "SELECT": _select,
    "SELECT_V2": _broadcast,
    "SLICE": _slice,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
}
