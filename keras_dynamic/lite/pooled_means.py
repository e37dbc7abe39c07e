"""Lets pooling do most of the work of means, for TensorFlow Lite Micro."""

import math

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, schedule

_BETWEEN = {1, 2}  # the axes of height and width


def pool_means(content: bytes) -> bytes:
    """Computes means of int8 feature maps over height and width in two steps: pooling, then the mean of what is left.

    TensorFlow Lite Micro's MEAN takes more than a hundred instructions a number, so that a gate, which begins with one,
    may cost as much as the unit that it skips; pooling has a fast kernel. Pooled numbers keep the scale of the map, so
    that pooling alone would round them to few values: it leaves two by two, or as many as the size divides by, and MEAN
    takes these to a scale of their own. A mean may differ by a step, and so a decision near its threshold may change,
    and the answer with it. LiteRT, whose MEAN is fast, needs none of this.

    Args:
        content: the bytes of an int8 .tflite; of another nothing changes.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    return flatbuffer.edited(content, _pool)


def _pool(model: Model) -> None:
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if flatbuffer.op_name(model, operator) == "MEAN" and _averages(model, graph, operator):
                _put_before(model, graph, operator)
        schedule(graph)


def _averages(model: Model, graph: Graph, operator: Operator) -> bool:
    """Returns whether an operator is the mean over height and width of an int8 feature map."""
    x, axes = (graph.tensors[t] for t in operator.inputs)
    known = len(flatbuffer.shape(x)) == 4 and min(flatbuffer.shape(x)) > 0
    if flatbuffer.type_name(x) != "INT8" or not known or not flatbuffer.is_constant(model, axes):
        return False
    return {int(axis) % 4 for axis in flatbuffer.constant(model, axes).ravel()} == _BETWEEN


def _put_before(model: Model, graph: Graph, operator: Operator) -> None:
    """Puts pooling before a mean, unless there is nothing to pool."""
    source = graph.tensors[operator.inputs[0]]
    batch, height, width, channels = flatbuffer.shape(source)
    left = _smallest_divisor(height), _smallest_divisor(width)
    window = height // left[0], width // left[1]
    if math.prod(window) == 1:
        return
    name = f"{graph.tensors[operator.outputs[0]].name}_pooled"
    pooled = flatbuffer.add_tensor(graph, name, [batch, *left, channels], source.type, source.quantization)
    made = flatbuffer.new_operator(model, "AVERAGE_POOL_2D", [operator.inputs[0]], [pooled], "Pool2D", version=2)
    options = made.builtinOptions
    options.padding = flatbuffer.schema().Padding.VALID
    options.filterHeight, options.filterWidth = options.strideH, options.strideW = window
    graph.operators.append(made)
    operator.inputs = [pooled, operator.inputs[1]]


def _smallest_divisor(size: int) -> int:
    """Returns the smallest divisor over 1, or 1 of 1."""
    return next((number for number in range(2, size + 1) if size % number == 0), 1)
