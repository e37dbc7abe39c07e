"""Where a select model compares confidences with thresholds, and what the confidences are."""

import copy
from typing import NamedTuple

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.graph import producers
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.naming import decision_of_tensor
from keras_dynamic.lite.schema import Model, Operator

# Above any int8 confidence: 127.5. The kernel takes scales under 1 only.
_ALWAYS_SCALE, _ALWAYS_ZERO_POINT, _ALWAYS = 0.5, -128, np.int8(127)


class Comparison(NamedTuple):
    """The operator that says whether a confidence is under its threshold, and its two tensors."""

    operator: Operator
    confidence: int
    threshold: int


def comparisons_of(model: Model, wanted, names) -> list[Comparison]:
    """Finds the comparisons with constant thresholds.

    Args:
        model: parsed select model, before outlining.
        wanted: names of the decisions that compare confidences.
        names: of all decisions in the model, by number.

    Returns:
        One for each wanted decision, in order.

    Raises:
        ValueError: if a decision's comparison with its threshold is not found.
    """
    graph = model.subgraphs[0]
    made_by = producers(graph)
    found = {}
    for operator in graph.operators:
        if schema.op_name(model, operator) != "LESS":
            continue
        index = decision_of_tensor(graph.tensors[operator.outputs[0]].name)
        confidence, threshold = operator.inputs
        if index is not None and schema.is_constant(model, graph.tensors[threshold]) and confidence in made_by:
            found[names[index]] = Comparison(operator, confidence, threshold)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"the converted model does not compare a confidence with a threshold for decisions {missing}.")
    return [found[name] for name in wanted]


def set_threshold(model: Model, comparison: Comparison, value, scale=None, zero_point=None) -> None:
    """Gives a comparison a threshold of its own, in place; the converter shares equal ones.

    Args:
        model: the parsed model.
        comparison: of the model.
        value: NumPy scalar of the threshold's type.
        scale: of an int8 threshold, None in float32.
        zero_point: likewise.
    """
    graph = model.subgraphs[0]
    tensor = copy.copy(graph.tensors[comparison.threshold])
    tensor.buffer = schema.add_buffer(model, value.tobytes())
    if scale is not None:
        tensor.quantization = schema.schema().QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    graph.tensors.append(tensor)
    comparison.operator.inputs = [comparison.confidence, len(graph.tensors) - 1]


def confidences(converted: bytes, wanted, names, images) -> np.ndarray:
    """Runs a select model on images, every wanted decision on.

    Args:
        converted: select model, before outlining.
        wanted: names of the decisions that compare confidences.
        names: of all decisions in the model, by number.
        images: [n, height, width, channels], pixel values 0 to 255.

    Returns:
        The confidences as the model has them, int8 or float32 array [n, wanted].

    Raises:
        ValueError: if a decision's comparison with its threshold is not found.
    """
    parsed = schema.load(converted)
    graph = parsed.subgraphs[0]
    found = comparisons_of(parsed, wanted, names)
    for each in found:
        if schema.type_name(graph.tensors[each.confidence]) == "INT8":
            set_threshold(parsed, each, _ALWAYS, _ALWAYS_SCALE, _ALWAYS_ZERO_POINT)
        else:
            set_threshold(parsed, each, np.float32(np.inf))
    graph.outputs, parsed.signatureDefs = [*graph.outputs, *(each.confidence for each in found)], []
    told = [graph.tensors[each.confidence].name for each in found]
    interpreter = Interpreter(schema.pack(parsed))
    rows = []
    for image in images:
        results = interpreter.run(image, raw=True)
        rows.append([np.ravel(results[name])[0] for name in told])
    return np.array(rows)
