"""Makes skipping cheap: rectifiers that change no value go, and slow int8 ones become an operator that is fast."""

from keras_dynamic.lite import schema
from keras_dynamic.lite.graph import prune, redirect, schedule
from keras_dynamic.lite.schema import Graph, Model, Operator, Tensor

# A LEAKY_RELU whose slope is this close to 1 is there only to give an operand a scale of its own.
SLOPE_TOLERANCE = 1e-3

_KEEPS_SIGN = ("AVERAGE_POOL_2D", "LEAKY_RELU", "MAX_POOL_2D", "RESHAPE")


def simplify(model: bytes) -> bytes:
    """Removes or replaces rectifiers that change no value.

    A RELU whose input cannot be negative, and a LEAKY_RELU with slope 1 (to SLOPE_TOLERANCE), only hand their input
    through. They are removed; where they change the scale of an int8 tensor, they become QUANTIZE. So does every other
    int8 RELU whose output has zero point -128, since there saturation is the rectifier. XNNPACK runs QUANTIZE, but no
    int8 RELU. On built-in kernels the integers stay the same; XNNPACK's QUANTIZE may round to the next one.

    Args:
        model: the bytes of a .tflite, outlined or not.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    parsed = schema.load(model)
    nonnegative: list[set[int]] = [set() for _ in parsed.subgraphs]
    _mark_nonnegative(parsed, 0, nonnegative)
    for index, graph in enumerate(parsed.subgraphs):
        for operator in graph.operators:
            hands_through = _hands_through(parsed, operator, nonnegative[index])
            if hands_through and _same_scale(graph, operator):
                redirect(parsed, index, operator.outputs[0], operator.inputs[0])
            elif _is_int8(graph, operator) and (hands_through or _saturates(parsed, graph, operator)):
                _to_quantize(parsed, operator)
    prune(parsed)
    return schema.pack(parsed)


def _mark_nonnegative(model: Model, index: int, found: list[set[int]]) -> None:
    """Adds the tensors that cannot be negative, in a subgraph whose inputs are marked already and in its branches."""
    graph, known = model.subgraphs[index], found[index]
    schedule(graph)
    known.update(t for t, tensor in enumerate(graph.tensors) if _cannot_hold_negative(tensor))
    for operator in graph.operators:
        pair = schema.branches(operator)
        for branch in pair:
            inner = model.subgraphs[branch]
            found[branch].update(own for t, own in zip(operator.inputs[1:], inner.inputs, strict=True) if t in known)
            _mark_nonnegative(model, branch, found)
        for position, t in enumerate(operator.outputs):
            if pair:
                rectified = all(model.subgraphs[b].outputs[position] in found[b] for b in pair)
            else:
                rectified = _is_rectified(model, operator, known)
            if rectified:
                known.add(t)


def _cannot_hold_negative(tensor: Tensor) -> bool:
    """Whether every integer of a quantised tensor stands for a number of 0 or more."""
    _, zero_points = schema.quantization(tensor)
    return schema.type_name(tensor) == "INT8" and bool(zero_points) and set(zero_points) == {-128}


def _is_rectified(model: Model, operator: Operator, nonnegative: set[int]) -> bool:
    """Whether an operator is a rectifier, ends in one, or keeps the sign of what cannot be negative."""
    name = schema.op_name(model, operator)
    if name in ("RELU", "RELU6") or (name in _KEEPS_SIGN and operator.inputs[0] in nonnegative):
        return True
    kinds = schema.schema().ActivationFunctionType
    return getattr(operator.builtinOptions, "fusedActivationFunction", kinds.NONE) in (kinds.RELU, kinds.RELU6)


def _hands_through(model: Model, operator: Operator, nonnegative: set[int]) -> bool:
    """Whether an operator is a rectifier that leaves its input as it is."""
    name = schema.op_name(model, operator)
    if name == "LEAKY_RELU" and abs(operator.builtinOptions.alpha - 1) <= SLOPE_TOLERANCE:
        return True
    return name in ("RELU", "LEAKY_RELU") and operator.inputs[0] in nonnegative


def _same_scale(graph: Graph, operator: Operator) -> bool:
    source, result = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    return source.type == result.type and schema.quantization(source) == schema.quantization(result)


def _is_int8(graph: Graph, operator: Operator) -> bool:
    return all(schema.type_name(graph.tensors[t]) == "INT8" for t in (operator.inputs[:1] + operator.outputs[:1]))


def _saturates(model: Model, graph: Graph, operator: Operator) -> bool:
    """Whether a RELU cuts where its output's integers end."""
    return schema.op_name(model, operator) == "RELU" and _cannot_hold_negative(graph.tensors[operator.outputs[0]])


def _to_quantize(model: Model, operator: Operator) -> None:
    operator.opcodeIndex = schema.op_code(model, "QUANTIZE", version=2)
    operator.builtinOptionsType = schema.schema().BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.schema().QuantizeOptionsT()
