"""Confidence thresholds that a model takes as an input, in place of constants."""

from typing import NamedTuple

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.comparisons import comparisons_of
from keras_dynamic.lite.graph import schedule
from keras_dynamic.lite.pixels import Port, decode
from keras_dynamic.lite.schema import Graph, Model
from keras_dynamic.lite.thresholds import THRESHOLDS


class Taken(NamedTuple):
    """A model whose thresholds are its last input.

    Attributes:
        model: the .tflite's bytes.
        port: the input, [k].
        values: the constants that it had before, float32 array [k].
    """

    model: bytes
    port: Port
    values: np.ndarray


def take_thresholds(converted: bytes, wanted, names) -> Taken:
    """Makes thresholds an input, [k], of the confidences' type and scale, of which each comparison reads a slice.

    Args:
        converted: select model, before outlining.
        wanted: names of the decisions that compare confidences.
        names: of all decisions in the model, by number.

    Returns:
        Taken.

    Raises:
        ValueError: if a decision's comparison with its threshold is not found, or confidences have several scales.
    """
    parsed = schema.load(converted)
    graph = parsed.subgraphs[0]
    found = comparisons_of(parsed, wanted, names)
    compared = [graph.tensors[each.confidence] for each in found]
    scales = [schema.quantization(tensor) for tensor in compared]
    if len(set(scales)) > 1:
        told = ", ".join(f"{name} {scale[0]:.4g}" for name, (scale, _) in zip(wanted, scales, strict=True))
        raise ValueError(
            f"thresholds='input' needs confidences of one scale, got in int8 {told}; use the measure 'max_probability' "
            "or thresholds='baked'."
        )
    (scale, zero_point), kind = scales[0], compared[0]
    shape, dtype = (len(found),), schema.dtype(kind)
    port = Port(THRESHOLDS, shape, dtype, scale[0], zero_point[0]) if scale else Port(THRESHOLDS, shape, dtype)
    values = [
        decode(schema.constant(parsed, graph.tensors[each.threshold]).reshape(()), port) for each in found
    ]  # constants have the confidences' scale since refit_thresholds
    given = _tensor(graph, THRESHOLDS, [len(found)], kind.type, kind.quantization)
    graph.inputs.append(given)
    size = _constant(parsed, graph, 1)
    for number, each in enumerate(found):
        own = _tensor(graph, f"{THRESHOLDS}_{number}", [1], kind.type, kind.quantization)
        slicing = schema.schema().OperatorT()
        slicing.opcodeIndex = schema.op_code(parsed, "SLICE", version=2 if scale else 1)  # 2 knows int8
        slicing.builtinOptionsType = schema.schema().BuiltinOptions.SliceOptions
        slicing.builtinOptions = schema.schema().SliceOptionsT()
        slicing.inputs, slicing.outputs = [given, _constant(parsed, graph, number), size], [own]
        graph.operators.append(slicing)
        each.operator.inputs = [each.confidence, own]
    schedule(graph)
    parsed.signatureDefs = []
    return Taken(schema.pack(parsed), port, np.array(values, np.float32))


def _constant(model: Model, graph: Graph, value: int) -> int:
    """Adds an int32 constant [1] and returns its index."""
    made = _tensor(graph, "slice", [1], schema.schema().TensorType.INT32, None)
    graph.tensors[made].buffer = schema.add_buffer(model, np.int32(value).tobytes())
    return made


def _tensor(graph: Graph, name: str, shape: list[int], kind: int, quantization) -> int:
    """Adds a tensor and returns its index."""
    tensor = schema.schema().TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.quantization = name, shape, kind, quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
