"""Numbers of TensorFlow Lite's integer arithmetic: multipliers, ranges of activations, tables."""

import copy
import math

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model
from keras_dynamic.lite.interpreter import Interpreter

_ONE = 1 << 31
LEAST, MOST = -128, 127  # of int8


def ratio(value: float) -> tuple[int, int]:
    """Returns (multiplier, shift) for a factor of at least 0, which is multiplier * 2^(shift - 31)."""
    if value == 0:
        return 0, 0
    fraction, shift = math.frexp(value)
    multiplier = math.floor(fraction * _ONE + 0.5)
    if multiplier == _ONE:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def ratio_of_mean(value: float, count: int) -> tuple[int, int]:
    """Returns (multiplier, shift) for a factor divided by the number of elements of a mean, as `ratio` does."""
    multiplier, shift = ratio(value)
    more = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << more) // count, shift - more


def high_product(a: int, b: int) -> int:
    """Returns a * b / 2^31 of int32 numbers, rounded to the nearest, halves up."""
    return (a * b + (1 << 30)) >> 31


def rounded_shift(x: int, exponent: int) -> int:
    """Returns x / 2^exponent, rounded to the nearest, halves away from zero."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + int((x & mask) > (mask >> 1) + int(x < 0))


# exp(-2^k) in 1/2^31 for k = -2 to 4.
_EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def exponential(x: int) -> int:
    """Returns exp(x) in 1/2^31 for x of at most 0 in 1/2^26, as gemmlowp's exp_on_negative_values computes it."""
    if x == 0:
        return _ONE - 1
    quarter = 1 << 24
    rest = (x & (quarter - 1)) - quarter  # of [-1/4, 0)
    found = _small_exponential(rest << 5)
    for k, factor in enumerate(_EXPONENTIALS):
        if (rest - x) & (1 << (24 + k)):
            found = high_product(found, factor)
    return found


def _small_exponential(x: int) -> int:
    """Returns exp(x), both in 1/2^31, for x in [-1/4, 0): exp(-1/8) times four terms of the series around -1/8."""
    middle, third = 1895147668, 715827883
    x += 1 << 28
    x2 = high_product(x, x)
    x3, x4 = high_product(x2, x), high_product(x2, x2)
    terms = rounded_shift(high_product(rounded_shift(x4, 2) + x3, third) + x2, 1)
    return middle + high_product(middle, x + terms)


def softmax_table(scale: float, beta: float) -> tuple[list[int], int]:
    """Returns exp(-d * scale * beta) in 1/2^31 for d = 0 to 255, and the least difference that counts.

    Args:
        scale: of the logits.
        beta: factor of the logits.
    """
    multiplier, shift = ratio(min(beta * scale * (1 << 26), _ONE - 1.0))
    least = -math.floor(31 * (1 << 26) / (1 << shift))
    table = [exponential(high_product(-d << shift, multiplier)) if -d >= least else 0 for d in range(256)]
    return table, least


def activation_bounds(kind: int) -> tuple[float, float]:
    """Returns the least and the most number that a fused activation lets through.

    Raises:
        ValueError: if the activation is neither ReLU, ReLU6, ReLU from -1 to 1 nor none.
    """
    types, most = flatbuffer.schema().ActivationFunctionType, float(np.finfo(np.float32).max)
    ranges = {types.NONE: (-most, most), types.RELU: (0, most), types.RELU6: (0, 6), types.RELU_N1_TO_1: (-1, 1)}
    if kind not in ranges:
        raise ValueError(
            f"a fused activation of type {kind} has no kernel in C; make it a layer of its own, or run the file on "
            "TensorFlow Lite Micro."
        )

    least, most = ranges[kind]
    return float(least), float(most)


def activation_range(kind: int, scale: float, zero: int) -> tuple[int, int]:
    """Returns the least and the most int8 number that a fused activation lets through; raises as its bounds do."""
    least, most = (zero + math.floor(bound / scale + 0.5) for bound in activation_bounds(kind))
    return max(LEAST, least), min(MOST, most)


def lookup_table(model: Model, graph: Graph, operator: int) -> np.ndarray:
    """Returns what an operator of one int8 number gives for each of -128 to 127, by LiteRT's reference kernels.

    Bytes count as the int8 numbers of the same bits.

    Args:
        model: that the graph is part of.
        graph: a subgraph.
        operator: its place in the subgraph.

    Returns:
        int8 array [256].
    """
    made = graph.operators[operator]
    alone = flatbuffer.cut(graph, [operator], made.inputs[:1], made.outputs)
    for index in (*alone.inputs, *alone.outputs):
        tensor = copy.copy(alone.tensors[index])
        tensor.shape, tensor.shapeSignature = [1, 256], None
        alone.tensors[index] = tensor
    part = flatbuffer.submodel(model, alone)
    part.metadata, part.files = [], {}
    runner = Interpreter(flatbuffer.pack(part), kernels="reference")
    (port,) = runner.inputs.values()
    runner.feed({port.name: np.arange(LEAST, MOST + 1).astype(np.int8).view(port.dtype).reshape(1, 256)})
    runner.invoke()
    (found,) = runner.results(raw=True).values()
    return found.reshape(256).view(np.int8)
