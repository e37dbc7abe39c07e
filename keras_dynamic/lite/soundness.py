"""Finds what runtimes would crash on in a parsed model, as they trust a file.

Runtimes check shapes and types as they prepare an operator, but not that operands are there, that constants are as long
as their shapes say, or that numbers are small enough to be computed with.
"""

import math
from collections.abc import Iterator

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, Tensor, op_name
from keras_dynamic.lite.operator_shapes import shape_fault

_MOST_BYTES = 1 << 31  # of a tensor
_MOST = 1 << 16  # of strides, dilations and windows
_POSITIVE = (
    "strideW",
    "strideH",
    "dilationWFactor",
    "dilationHFactor",
    "filterWidth",
    "filterHeight",
    "depthMultiplier",
)
# Places of operands that may be left out, -1.
_OPTIONAL = {
    **dict.fromkeys(("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), (2,)),
    "TRANSPOSE_CONV": (3,),
}
_ACTING = ("ASSIGN_VARIABLE", "CALL_ONCE", "HASHTABLE_IMPORT")  # which have no result
_OPTIONAL_ANYWHERE = ("LSTM", "RNN", "SVDF")
# Operands and results; of other operators, at least one result.
_UNARY = """ABS CAST CEIL COS DEQUANTIZE ELU EXP FLOOR GELU HARD_SWISH L2_NORMALIZATION LEAKY_RELU LOG LOGICAL_NOT
LOGISTIC LOG_SOFTMAX NEG QUANTIZE RANK RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SHAPE SIN SOFTMAX SQRT SQUARE
SQUEEZE TANH ZEROS_LIKE AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D DEPTH_TO_SPACE SPACE_TO_DEPTH SIGN"""
_BINARY = """ADD ARG_MAX ARG_MIN BATCH_MATMUL BROADCAST_TO CUMSUM DIV EQUAL EXPAND_DIMS FILL FLOOR_DIV FLOOR_MOD GATHER
GATHER_ND GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NOT_EQUAL PAD
POW PRELU REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2
SQUARED_DIFFERENCE SUB SUM TILE TRANSPOSE"""
_TERNARY = "ONE_HOT PADV2 RANGE SCATTER_ND SELECT SELECT_V2 SLICE"
_OPERANDS = {
    **dict.fromkeys(_UNARY.split(), (1, 1)),
    **dict.fromkeys(_BINARY.split(), (2, 2)),
    **dict.fromkeys(_TERNARY.split(), (3, 3)),
    "ONE_HOT": (4, 4),
    "CONV_2D": (2, 3),
    "DEPTHWISE_CONV_2D": (2, 3),
    "FULLY_CONNECTED": (2, 3),
    "TRANSPOSE_CONV": (3, 4),
    "RESHAPE": (1, 2),
    "STRIDED_SLICE": (4, 4),
    "SPLIT": (2, 2),
    "SPLIT_V": (3, 3),
    "TOPK_V2": (2, 2),
    "UNPACK": (1, 1),
}

# Operators that cannot do without their options.
_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "IF": "IfOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "PACK": "PackOptions",
    "REDUCE_MAX": "ReducerOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "WHILE": "WhileOptions",
}


def fault_of(model: Model) -> str:
    """Returns the first fault of a parsed model that a runtime would trust, or ''."""
    return next(_faults(model), "")


def _faults(model: Model) -> Iterator[str]:
    """Yields what is wrong, in an order in which each check can trust those before it."""
    if not model.subgraphs or not model.buffers:
        yield "no subgraph or no buffers"
    if any(buffer.offset > 1 for buffer in model.buffers):
        yield "weights outside the flatbuffer, as in files over 2 GB, are not supported"
    for entry in model.metadata:
        if not 0 <= entry.buffer < len(model.buffers):
            yield f"metadata {entry.name!r} names buffer {entry.buffer} of {len(model.buffers)}"
    for g, graph in enumerate(model.subgraphs):
        yield from (f"subgraph {g} {fault}" for fault in _dangling(model, graph))
    yield from _cycles(model)
    if model.plan is not None and not _is_plan(model):
        yield "its plan of memory does not place each of its tensors"
    for g, graph in enumerate(model.subgraphs):
        where = f"subgraph {g}"
        for t, tensor in enumerate(graph.tensors):
            for fault in _tensor_faults(model, tensor):
                yield f"{where}, tensor {t}: {fault}"
        if min((*graph.inputs, *graph.outputs), default=0) < 0:
            yield f"{where} has an input or output without a tensor"
        yield from (f"{where}, {fault}" for fault in _order_faults(model, graph))
        for k, operator in enumerate(graph.operators):
            for fault in _operator_faults(model, graph, operator):
                yield f"{where}, operator {k} ({op_name(model, operator)}): {fault}"
    for signature in model.signatureDefs:
        if not 0 <= signature.subgraphIndex < len(model.subgraphs):
            yield f"a signature names subgraph {signature.subgraphIndex} of {len(model.subgraphs)}"
            continue
        graph = model.subgraphs[signature.subgraphIndex]
        for entries, tensors in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
            if not {entry.tensorIndex for entry in entries} <= set(tensors):
                yield f"signature {signature.signatureKey!r} names tensors that are no inputs or outputs"


def _is_plan(model: Model) -> bool:
    """Returns whether a plan of memory has an offset for each tensor, or -1."""
    count = sum(len(graph.tensors) for graph in model.subgraphs)
    return len(model.plan) == count and all(-1 <= offset < _MOST_BYTES for offset in model.plan)


def _dangling(model: Model, graph: Graph) -> Iterator[str]:
    """Yields references of a subgraph to what is not there."""
    used = [*graph.inputs, *graph.outputs]
    for operator in graph.operators:
        if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
            yield f"names operator code {operator.opcodeIndex} of {len(model.operatorCodes)}"
        used += [*operator.inputs, *operator.outputs]
    if any(not -1 <= t < len(graph.tensors) for t in used):
        yield f"names a tensor beyond its {len(graph.tensors)}"
    if any(not 0 <= tensor.buffer < len(model.buffers) for tensor in graph.tensors):
        yield f"names a buffer beyond the model's {len(model.buffers)}"


def _cycles(model: Model) -> Iterator[str]:
    """Yields subgraphs that are not there, or that run themselves."""
    called = [[b for operator in graph.operators for b in _called(operator)] for graph in model.subgraphs]
    depth = [0] * len(called)
    for g, indices in enumerate(called):
        for index in indices:
            if not 0 < index < len(called):
                yield f"subgraph {g} names subgraph {index} of {len(called)}"
                return
    for _ in called:  # a chain of calls is no longer than the number of subgraphs, unless it is a circle
        deeper = [1 + max((depth[index] for index in indices), default=-1) for indices in called]
        if deeper == depth:
            return
        depth = deeper
    yield "a subgraph runs itself"


def _called(operator: Operator) -> list[int]:
    """Returns the subgraphs that an operator names."""
    options = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    return [value for key, value in options.items() if "ubgraph" in key and isinstance(value, int)]


def _bytes(tensor: Tensor) -> int:
    """Returns the size of a tensor's values; 0 where only the run decides it, or its type has no fixed size."""
    sizes = [1 if size < 0 else size for size in flatbuffer.shape(tensor)]
    try:
        return math.prod(sizes) * flatbuffer.dtype(tensor).itemsize
    except ValueError:
        return 0


def _tensor_faults(model: Model, tensor: Tensor) -> Iterator[str]:
    """Yields what is wrong with one tensor: its sizes, its values, its scales."""
    sizes = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    if min(sizes, default=0) < 0 or len(sizes) > 8:
        yield f"its shape is {sizes}"
        return
    signature = flatbuffer.shape(tensor)
    if len(signature) != len(sizes) or any(s not in (-1, size) for s, size in zip(signature, sizes, strict=True)):
        yield f"its shape is {sizes}, and {list(signature)} in its signature"
        return
    if _bytes(tensor) > _MOST_BYTES:
        yield f"it takes {_bytes(tensor):,} bytes"
        return
    if flatbuffer.is_constant(model, tensor) and tensor.sparsity is None:
        held = len(model.buffers[tensor.buffer].data)
        if flatbuffer.type_name(tensor) in _NUMPY and held != _bytes(tensor):
            yield f"its values take {held} bytes, its shape {_bytes(tensor)}"
    yield from _scale_faults(tensor, sizes)


_NUMPY = "FLOAT16 FLOAT32 FLOAT64 INT8 UINT8 INT16 UINT16 INT32 UINT32 INT64 UINT64 BOOL".split()


def _scale_faults(tensor: Tensor, sizes: list[int]) -> Iterator[str]:
    scales, zeros = flatbuffer.quantization(tensor)
    if not scales:
        if zeros:
            yield "it has zero points and no scales"
        return
    along = int(tensor.quantization.quantizedDimension)
    channels = sizes[along] if 0 <= along < len(sizes) else None
    if len(scales) != 1 and len(scales) != channels:
        yield f"it has {len(scales)} scales and shape {sizes}"
    if len(zeros) not in (1, len(scales)):
        yield f"it has {len(zeros)} zero points and {len(scales)} scales"
    if not np.isfinite(scales).all() or min(scales) < 0 or (min(scales) == 0 and len(scales) == 1):
        yield "it has a scale that is no positive number"  # a filter of zeros alone may have scale 0
    kind = flatbuffer.type_name(tensor)
    if kind in ("INT8", "UINT8", "INT16", "INT32") and zeros:
        limits = np.iinfo(kind.lower())
        if min(zeros) < limits.min or max(zeros) > limits.max:
            yield f"it has a zero point beyond {kind}"


def _order_faults(model: Model, graph: Graph) -> Iterator[str]:
    """Yields operators that read what is not there yet, or write what something else gives."""
    there = {  # from the beginning; of a tensor without elements a file holds nothing
        t
        for t, tensor in enumerate(graph.tensors)
        if flatbuffer.is_constant(model, tensor) or tensor.isVariable or 0 in flatbuffer.shape(tensor)
    }
    if there & set(graph.inputs):
        yield "a constant is an input"
    there |= set(graph.inputs)
    for k, operator in enumerate(graph.operators):
        read, written = {t for t in operator.inputs if t >= 0}, set(operator.outputs)
        if read - there:
            yield f"operator {k} reads tensor {min(read - there)} before anything writes it"
        if written & there or len(written) < len(operator.outputs):
            yield f"operator {k} writes a tensor that has its values already"
        there |= written
    if set(graph.outputs) - there:
        yield f"output {min(set(graph.outputs) - there)} is written by nothing"


def _operator_faults(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    """Yields what is wrong with one operator: its operands, its results, its options."""
    name, options = op_name(model, operator), operator.builtinOptions
    kind = "NONE" if options is None else flatbuffer.options_name(operator)
    if min(operator.outputs, default=0 if name in _ACTING else -1) < 0:
        yield "it has no result"
    left_out = [place for place, t in enumerate(operator.inputs) if t < 0]
    anywhere = any(word in name for word in _OPTIONAL_ANYWHERE)
    if not anywhere and set(left_out) - set(_OPTIONAL.get(name, ())):
        yield f"its operand {left_out[0]} is left out"
    least, most = _OPERANDS.get(name, (0, len(operator.inputs)))
    if not least <= len(operator.inputs) <= most:
        yield f"it has {len(operator.inputs)} operands"
    if _OPTIONS.get(name, kind) != kind:
        yield f"its options are {kind}, expected {_OPTIONS[name]}"
        return
    for key in _POSITIVE:
        value = getattr(options, key, 1)
        if not 0 < value <= _MOST and not (key == "depthMultiplier" and value == 0):
            yield f"its {key} is {value}"
            return
    yield from _shape_faults(model, graph, operator)


def _shape_faults(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    """Yields what is wrong with the shapes of one operator, where the file says them all."""
    read = [None if t < 0 else graph.tensors[t] for t in operator.inputs]
    inputs = [() if tensor is None else flatbuffer.shape(tensor) for tensor in read]
    outputs = [flatbuffer.shape(graph.tensors[t]) for t in operator.outputs]
    name = op_name(model, operator)
    if any(-1 in shape for shape in (*inputs, *outputs)):
        return
    if name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        if math.prod(inputs[0]) != math.prod(outputs[0]):
            yield f"it makes shape {list(outputs[0])} of {list(inputs[0])}"
        return
    values = [
        flatbuffer.constant(model, tensor)
        if tensor is not None
        and flatbuffer.is_constant(model, tensor)
        and flatbuffer.type_name(tensor) in ("INT32", "INT64")
        else None
        for tensor in read
    ]
    fault = shape_fault(name, operator.builtinOptions, inputs, outputs, values)
    if fault:
        yield fault
