"""Writes a float32 .tflite as ONNX, in which conditions are ONNX's If."""

import json
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator
from keras_dynamic.lite.metadata import metadata_needed, signature_names

OPSET = 17
_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def to_onnx(content: bytes) -> bytes:
    """Returns a float32 .tflite as an ONNX model, for runtimes such as ONNX Runtime.

    A condition becomes an If, of which one branch runs. Inputs, outputs and their names are the file's, images
    [1, height, width, channels]; convolutions are surrounded by transpositions, most of which the runtime cancels. The
    package's metadata is the model's property 'keras_dynamic'.

        Path("cascade.onnx").write_bytes(kd.lite.to_onnx(content))
        session = onnxruntime.InferenceSession("cascade.onnx")
        logits, decisions = session.run(["logits", "decisions"], {"image": image[None].astype("float32")})

    Args:
        content: the bytes of a float32 .tflite that export has written.

    Returns:
        The ONNX model's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite or lack this package's metadata, the file is not float32, or an
            operator has no counterpart here.
        ImportError: if onnx isn't installed.
    """
    onnx = _installed()
    model = flatbuffer.load(content)
    metadata = metadata_needed(model)
    if metadata["quantize"] is not None:
        raise ValueError(
            f"to_onnx takes float32 files, got one with quantize={metadata['quantize']!r}; export the model with "
            "quantize=None, and quantise it with ONNX's own tools."
        )
    made = onnx.helper.make_model(
        _Writer(model).main(), opset_imports=[onnx.helper.make_opsetid("", OPSET)], producer_name="keras_dynamic"
    )
    made.ir_version = 8  # the one of this opset, which older runtimes know
    onnx.helper.set_model_props(made, {"keras_dynamic": json.dumps(metadata)})
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def _installed() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ImportError("to_onnx needs onnx, which is not installed; pip install keras_dynamic[onnx].") from None
    return onnx


class _Writer:
    """The ONNX graphs of a parsed model's subgraphs: nodes and initializers, which branches read from outside."""

    def __init__(self, model: Model):
        self.model, self.helper = model, _installed().helper
        self._constants: dict[Any, str] = {}
        self._initializers: list[Any] = []
        self._count = 0

    def main(self):
        """Returns the graph of the whole model."""
        graph, (inputs, outputs) = self.model.subgraphs[0], signature_names(self.model)
        body = _Body(self, graph, dict(zip(graph.inputs, inputs, strict=True)))
        nodes = body.nodes + [
            self.helper.make_node("Identity", [body.name(t)], [name])
            for t, name in zip(graph.outputs, outputs, strict=True)
        ]
        given = [self._info(graph, t, name) for t, name in zip(graph.inputs, inputs, strict=True)]
        made = [self._info(graph, t, name) for t, name in zip(graph.outputs, outputs, strict=True)]
        return self.helper.make_graph(nodes, "main", given, made, self._initializers)

    def branch(self, index: int, given: list[str]):
        """Returns the graph of a branch, which reads values of the graph around it by their names."""
        graph = self.model.subgraphs[index]
        body = _Body(self, graph, dict(zip(graph.inputs, given, strict=True)))
        results = [self.fresh("result") for _ in graph.outputs]
        nodes = body.nodes + [
            self.helper.make_node("Identity", [body.name(t)], [name])
            for t, name in zip(graph.outputs, results, strict=True)
        ]
        made = [self._info(graph, t, name) for t, name in zip(graph.outputs, results, strict=True)]
        return self.helper.make_graph(nodes, graph.name or f"branch{index}", [], made)

    def fresh(self, what: str) -> str:
        """Returns a name that no other value of any graph has."""
        self._count += 1
        return f"{what}_{self._count}"

    def constant(self, values, kind=None) -> str:
        """Returns the name of a constant, new or one of the same values."""
        values = np.array(values, kind, order="C")
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = name = self.fresh("constant")
            self._initializers.append(_installed().numpy_helper.from_array(values, name))
        return self._constants[key]

    def _info(self, graph, t, name):
        tensor = graph.tensors[t]
        kind = self.helper.np_dtype_to_tensor_dtype(flatbuffer.dtype(tensor))
        return self.helper.make_tensor_value_info(name, kind, flatbuffer.shape(tensor))


class _Body:
    """The nodes of one subgraph.

    Args:
        writer: _Writer.
        graph: the parsed subgraph.
        given: {input tensor: name of the value}.
    """

    def __init__(self, writer: _Writer, graph: Graph, given: dict[int, str]):
        self.writer, self.graph, self._names = writer, graph, dict(given)
        self.nodes: list[Any] = []
        for operator in graph.operators:
            self._add(operator)

    def name(self, t: int) -> str:
        """Returns the name of a tensor's value."""
        if t not in self._names:
            self._names[t] = self.writer.constant(flatbuffer.constant(self.writer.model, self.graph.tensors[t]))
        return self._names[t]

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> Any:
        """Adds a node; returns the name of its result, or a list of names if there are several."""
        made = [self.writer.fresh(kind.lower()) for _ in range(outputs)]
        self.nodes.append(self.writer.helper.make_node(kind, list(inputs), made, **attributes))
        return made[0] if outputs == 1 else made

    def ints(self, values) -> str:
        """Returns the name of a constant of int64, as ONNX wants axes and shapes."""
        return self.writer.constant(values, np.int64)

    def values(self, operator: Operator, place: int) -> list[int]:
        """Returns the integers of an operand that the file must hold."""
        tensor = self.graph.tensors[operator.inputs[place]]
        if not flatbuffer.is_constant(self.writer.model, tensor):
            raise ValueError(f"to_onnx needs {tensor.name!r} as a constant, but the model computes it.")
        return flatbuffer.constant(self.writer.model, tensor).astype(np.int64).ravel().tolist()

    def shape(self, t: int) -> tuple[int, ...]:
        """Returns a tensor's shape."""
        return flatbuffer.shape(self.graph.tensors[t])

    def _add(self, operator: Operator):
        pair = flatbuffer.branches(operator)
        if pair:
            given = [self.name(t) for t in operator.inputs[1:]]
            then, otherwise = (self.writer.branch(index, given) for index in pair)
            count, condition = len(operator.outputs), self.name(operator.inputs[0])
            if self.shape(operator.inputs[0]):
                condition = self.node("Reshape", condition, self.ints([]))
            made = self.node("If", condition, outputs=count, then_branch=then, else_branch=otherwise)
            self._names |= dict(zip(operator.outputs, [made] if count == 1 else made, strict=True))
            return
        name = flatbuffer.op_name(self.writer.model, operator)
        if name not in RULES:
            raise ValueError(
                f"to_onnx has no counterpart of operator {name}, which makes "
                f"{self.graph.tensors[operator.outputs[0]].name!r}; expected one of {sorted(RULES)}."
            )
        made = RULES[name](self, operator)
        made = made if isinstance(made, list) else [self._activated(operator, made)]
        self._names |= dict(zip(operator.outputs, made, strict=True))

    def _activated(self, operator, value):
        """Returns a value after the activation that is a part of the operator."""
        kinds = flatbuffer.schema().ActivationFunctionType
        kind = getattr(operator.builtinOptions, "fusedActivationFunction", kinds.NONE)
        if kind == kinds.NONE:
            return value
        bounds = {kinds.RELU: (0, None), kinds.RELU6: (0, 6), kinds.RELU_N1_TO_1: (-1, 1)}
        if kind == kinds.TANH:
            return self.node("Tanh", value)
        if kind not in bounds:
            raise ValueError(f"to_onnx knows no fused activation of number {kind}; give it a layer of its own.")
        return self.clipped(value, *bounds[kind])

    def clipped(self, value, least, most):
        """Returns a value within bounds, of which the upper one may be None."""
        if most is None:
            return self.node("Relu", value)
        return self.node("Clip", value, self.writer.constant(least, np.float32), self.writer.constant(most, np.float32))


def _plain(kind, **attributes):
    """The rule of an operator that ONNX has under another name."""
    return lambda body, operator: body.node(kind, *map(body.name, operator.inputs), **attributes)


def _pads(body, operator, kernel, dilation, strides):
    """Returns ONNX's pads of a window: before height and width, then after."""
    options, size = operator.builtinOptions, body.shape(operator.inputs[0])[1:3]
    if options.padding == flatbuffer.schema().Padding.VALID:
        return [0, 0, 0, 0]
    given = body.shape(operator.outputs[0])[1:3]
    totals = [
        max(0, (count - 1) * stride + (taps - 1) * gap + 1 - length)
        for count, stride, taps, gap, length in zip(given, strides, kernel, dilation, size, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _convolution(depthwise):
    def rule(body, operator):
        x, weights = operator.inputs[:2]
        options, shape = operator.builtinOptions, body.shape(weights)
        filters = flatbuffer.constant(body.writer.model, body.graph.tensors[weights])
        # To [filters, channels of a group, height, width].
        filters = filters.transpose((3, 0, 1, 2) if depthwise else _TO_CHANNELS_FIRST)
        channels = body.shape(x)[-1]
        groups = channels if depthwise else channels // shape[-1]
        strides, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
        inputs = [
            body.node("Transpose", body.name(x), perm=_TO_CHANNELS_FIRST),
            body.writer.constant(filters.reshape(len(filters), -1, *shape[1:3])),
        ]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(body.name(operator.inputs[2]))
        how = {"group": groups, "strides": strides, "dilations": dilation}
        made = body.node("Conv", *inputs, pads=_pads(body, operator, shape[1:3], dilation, strides), **how)
        return body.node("Transpose", made, perm=_TO_CHANNELS_LAST)

    return rule


def _pool(kind, **attributes):
    def rule(body, operator):
        options = operator.builtinOptions
        kernel, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        x = body.node("Transpose", body.name(operator.inputs[0]), perm=_TO_CHANNELS_FIRST)
        pads = _pads(body, operator, kernel, (1, 1), strides)
        made = body.node(kind, x, kernel_shape=kernel, strides=strides, pads=pads, **attributes)
        return body.node("Transpose", made, perm=_TO_CHANNELS_LAST)

    return rule


def _dense(body, operator):
    x, weights, bias = (*operator.inputs, -1)[:3]
    _outputs, inputs = body.shape(weights)
    rows = body.node("Reshape", body.name(x), body.ints([-1, inputs]))
    given = [rows, body.name(weights), *([body.name(bias)] if bias >= 0 else [])]
    return body.node("Reshape", body.node("Gemm", *given, transB=1), body.ints(body.shape(operator.outputs[0])))


def _reduce(kind, axes_as_input=False):
    """The rule of a reduction; of those that this opset has, only sums take their axes as an input."""

    def rule(body, operator):
        axes, keep = body.values(operator, 1), int(operator.builtinOptions.keepDims)
        x = body.name(operator.inputs[0])
        if not axes:
            return x
        if axes_as_input:
            return body.node(kind, x, body.ints(axes), keepdims=keep)
        return body.node(kind, x, axes=axes, keepdims=keep)

    return rule


def _reshape(body, operator):
    return body.node("Reshape", body.name(operator.inputs[0]), body.ints(body.shape(operator.outputs[0])))


def _pad(body, operator):
    before_after = np.array(body.values(operator, 1)).reshape(-1, 2).T.ravel()
    value = [body.name(operator.inputs[2])] if len(operator.inputs) > 2 else []
    value = [body.node("Reshape", value[0], body.ints([]))] if value else value
    return body.node("Pad", body.name(operator.inputs[0]), body.ints(before_after), *value)


def _slice(body, operator):
    begin, count = body.values(operator, 1), body.shape(operator.outputs[0])
    ends = [start + length for start, length in zip(begin, count, strict=True)]
    return body.node("Slice", body.name(operator.inputs[0]), body.ints(begin), body.ints(ends))


def _strided_slice(body, operator):
    options, shape = operator.builtinOptions, body.shape(operator.inputs[0])
    if options.ellipsisMask or options.newAxisMask:
        raise ValueError("to_onnx takes slices without ellipsis and new axes; reshape in a layer of its own.")
    begin, end, strides = (body.values(operator, place) for place in (1, 2, 3))
    start, stop, steps = [], [], []
    for axis, size in enumerate(shape):
        cut = (begin[axis], end[axis], strides[axis]) if axis < len(begin) else (0, size, 1)
        first = None if options.beginMask >> axis & 1 else cut[0]
        last = None if options.endMask >> axis & 1 else cut[1]
        if options.shrinkAxisMask >> axis & 1:
            first, last, cut = cut[0] % size, cut[0] % size + 1, (0, 0, 1)
        places = range(size)[slice(first, last, cut[2])]
        start.append(places.start)
        stop.append(places.stop if places.stop >= 0 else -(size + 1))
        steps.append(cut[2])
    axes = list(range(len(shape)))
    given = (start, stop, axes, steps)
    made = body.node("Slice", body.name(operator.inputs[0]), *map(body.ints, given))
    return body.node("Reshape", made, body.ints(body.shape(operator.outputs[0])))


def _concatenation(body, operator):
    return body.node("Concat", *map(body.name, operator.inputs), axis=operator.builtinOptions.axis)


def _pack(body, operator):
    axis = operator.builtinOptions.axis
    parts = [body.node("Unsqueeze", body.name(t), body.ints([axis])) for t in operator.inputs]
    return body.node("Concat", *parts, axis=axis)


def _unpack(body, operator):
    axis, x = operator.builtinOptions.axis, body.name(operator.inputs[0])
    indices = range(len(operator.outputs))
    return [body.node("Gather", x, body.writer.constant(place, np.int64), axis=axis) for place in indices]


def _split(body, operator):
    axis, count = body.values(operator, 0)[0], len(operator.outputs)
    made = body.node("Split", body.name(operator.inputs[1]), axis=axis, outputs=count)
    return [made] if count == 1 else made


def _gather(body, operator):
    if getattr(operator.builtinOptions, "batchDims", 0):
        raise ValueError("to_onnx takes gathering without batch dimensions.")
    return body.node("Gather", *map(body.name, operator.inputs), axis=operator.builtinOptions.axis)


def _cast(body, operator):
    kind = flatbuffer.dtype(body.graph.tensors[operator.outputs[0]])
    return body.node("Cast", body.name(operator.inputs[0]), to=body.writer.helper.np_dtype_to_tensor_dtype(kind))


def _softmax(body, operator):
    x, beta = body.name(operator.inputs[0]), operator.builtinOptions.beta
    x = x if beta == 1 else body.node("Mul", x, body.writer.constant(beta, np.float32))
    return body.node("Softmax", x, axis=-1)


def _hard_swish(body, operator):
    return body.node("HardSwish", body.name(operator.inputs[0]))


def _leaky_relu(body, operator):
    return body.node("LeakyRelu", body.name(operator.inputs[0]), alpha=float(operator.builtinOptions.alpha))


def _transpose(body, operator):
    return body.node("Transpose", body.name(operator.inputs[0]), perm=body.values(operator, 1))


def _broadcast(body, operator):
    return body.node("Expand", body.name(operator.inputs[0]), body.ints(body.values(operator, 1)))


def _tile(body, operator):
    return body.node("Tile", body.name(operator.inputs[0]), body.ints(body.values(operator, 1)))


def _not_equal(body, operator):
    return body.node("Not", body.node("Equal", *map(body.name, operator.inputs)))


def _squared_difference(body, operator):
    difference = body.node("Sub", *map(body.name, operator.inputs))
    return body.node("Mul", difference, difference)


def _rsqrt(body, operator):
    return body.node("Reciprocal", body.node("Sqrt", body.name(operator.inputs[0])))


RULES = {
    **{
        name: _plain(kind)
        for name, kind in {
            "ABS": "Abs",
            "ADD": "Add",
            "DIV": "Div",
            "EQUAL": "Equal",
            "EXP": "Exp",
            "FLOOR": "Floor",
            "GREATER": "Greater",
            "GREATER_EQUAL": "GreaterOrEqual",
            "LESS": "Less",
            "LESS_EQUAL": "LessOrEqual",
            "LOG": "Log",
            "LOGICAL_AND": "And",
            "LOGICAL_NOT": "Not",
            "LOGICAL_OR": "Or",
            "LOGISTIC": "Sigmoid",
            "MAXIMUM": "Max",
            "MINIMUM": "Min",
            "MUL": "Mul",
            "NEG": "Neg",
            "PRELU": "PRelu",
            "RELU": "Relu",
            "SELECT": "Where",
            "SELECT_V2": "Where",
            "SQRT": "Sqrt",
            "SUB": "Sub",
            "TANH": "Tanh",
        }.items()
    },
    "AVERAGE_POOL_2D": _pool("AveragePool", count_include_pad=0),
    "BROADCAST_TO": _broadcast,
    "CAST": _cast,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution(depthwise=False),
    "DEPTHWISE_CONV_2D": _convolution(depthwise=True),
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": _dense,
    "GATHER": _gather,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky_relu,
    "MAX_POOL_2D": _pool("MaxPool"),
    "MEAN": _reduce("ReduceMean"),
    "NOT_EQUAL": _not_equal,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "REDUCE_MAX": _reduce("ReduceMax"),
    "REDUCE_MIN": _reduce("ReduceMin"),
    "RELU6": lambda body, operator: body.clipped(body.name(operator.inputs[0]), 0, 6),
    "RESHAPE": _reshape,
    "RSQRT": _rsqrt,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _reduce("ReduceSum", axes_as_input=True),
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
