"""Calls for operators that move elements and compute nothing."""

from collections.abc import Callable

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source.source import (
    Source,
    count_of,
    merged,
    numbers_of,
    refused,
    shape_of,
    steps_of,
    suffix,
    values_of,
)
from keras_dynamic.lite.program import Step, Value


def _same_place(source, step):
    """Whether an operator's first operand and its result share memory."""
    operand = step.inputs[0]
    stays = isinstance(operand, Value) and operand.input is None
    return stays and source.offsets[operand] == source.offsets[step.outputs[0]]


def moved(source, step) -> list[str]:
    """All elements, in their order."""
    if _same_place(source, step):
        return []
    count = count_of(step.outputs[0])
    return [_copy(source, step.inputs[0], step.outputs[0], (count,), (1,), (1,))]


def _copy(source, operand, result, size, from_step, to_step, start=0, to=0) -> str:
    """Returns the call that copies a block of elements from steps of their own to others."""
    size, from_step, to_step = merged(size, from_step, to_step)
    places = source.struct("kd_places", size=size, from_step=from_step, to_step=to_step, **{"from": start, "to": to})
    return source.call(f"kd_copy_{suffix(result)}", places, source.pointer(operand), source.pointer(result))


def _pad(source, step):
    x, (y,), shape = step.inputs[0], step.outputs, shape_of(step.outputs[0])
    before = values_of(source, step.inputs[1])[::2]
    steps = steps_of(shape)
    to = sum(count * step for count, step in zip(before, steps, strict=True))
    zero = numbers_of(y).zero if flatbuffer.type_name(y.tensor) == "INT8" else 0
    fill = source.call("memset", source.pointer(y), zero, y.size)
    return [fill, _copy(source, x, y, shape_of(x), steps_of(shape_of(x)), steps, 0, to)]


def _slice(source, step):
    x, (y,) = step.inputs[0], step.outputs
    begin, steps = values_of(source, step.inputs[1]), steps_of(shape_of(x))
    start = sum(place * step for place, step in zip(begin, steps, strict=True))
    return [_copy(source, x, y, shape_of(y), steps, steps_of(shape_of(y)), start)]


def _strided_slice(source, step):
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    begin, end, strides = (values_of(source, each) for each in step.inputs[1:])
    if options.ellipsisMask or options.newAxisMask or options.offset or any(stride < 1 for stride in strides):
        raise refused(y, "is a slice with new axes, or backwards")
    start, size, from_step = 0, [], []
    for axis, (whole, step_of_axis) in enumerate(zip(shape_of(x), steps_of(shape_of(x)), strict=True)):
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
    return [_copy(source, x, y, size, from_step, steps_of(size), start)]


def _concatenation(source, step):
    (y,) = step.outputs
    axis, shape = step.operator.builtinOptions.axis % len(shape_of(y)), shape_of(y)
    return _joined(source, step, [shape_of(each) for each in step.inputs], axis, shape)


def _pack(source, step):
    (y,) = step.outputs
    axis = step.operator.builtinOptions.axis % len(shape_of(y))
    shapes = [(*shape_of(each)[:axis], 1, *shape_of(each)[axis:]) for each in step.inputs]
    return _joined(source, step, shapes, axis, shape_of(y))


def _joined(source, step, shapes, axis, shape):
    """Operands side by side along an axis."""
    (y,), found, place, steps = step.outputs, [], 0, steps_of(shape)
    for operand, own in zip(step.inputs, shapes, strict=True):
        if flatbuffer.quantization(operand.tensor) != flatbuffer.quantization(y.tensor):
            raise refused(y, "joins tensors of different scales")
        found.append(_copy(source, operand, y, own, steps_of(own), steps, 0, place * steps[axis]))
        place += own[axis]
    return found


def _unpack(source, step):
    x, axis = step.inputs[0], step.operator.builtinOptions.axis % len(shape_of(step.inputs[0]))
    return _parts(source, x, step.outputs, axis, [1] * len(step.outputs))


def _split(source, step):
    x = step.inputs[1]
    axis = values_of(source, step.inputs[0])[0] % len(shape_of(x))
    return _parts(source, x, step.outputs, axis, [shape_of(y)[axis] for y in step.outputs])


def _parts(source, x, outputs, axis, widths):
    """Results that lie side by side along an axis of x."""
    shape, steps, found, place = shape_of(x), steps_of(shape_of(x)), [], 0
    for y, width in zip(outputs, widths, strict=True):
        own = [*shape[:axis], width, *shape[axis + 1 :]]
        found.append(_copy(source, x, y, own, steps, steps_of(own), place * steps[axis]))
        place += width
    return found


def _gather(source, step):
    x, (y,), options = step.inputs[0], step.outputs, step.operator.builtinOptions
    if options.batchDims:
        raise refused(y, "takes other elements of each row")
    places, shape = values_of(source, step.inputs[1]), shape_of(x)
    axis, steps = options.axis % len(shape), steps_of(shape_of(x))
    own = [*shape[:axis], len(places), *shape[axis + 1 :]]
    found, k = [], 0
    while k < len(places):
        run = 1
        while k + run < len(places) and places[k + run] == places[k] + run:
            run += 1
        part = [*shape[:axis], run, *shape[axis + 1 :]]
        found.append(_copy(source, x, y, part, steps, steps_of(own), places[k] * steps[axis], k * steps_of(own)[axis]))
        k += run
    return found


def _transpose(source, step):
    x, (y,) = step.inputs[0], step.outputs
    order, steps = values_of(source, step.inputs[1]), steps_of(shape_of(x))
    return [_copy(source, x, y, shape_of(y), [steps[axis] for axis in order], steps_of(shape_of(y)))]


MOVES: dict[str, Callable[[Source, Step], list[str]]] = {
    **dict.fromkeys(("COPY", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"), moved),
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
