"""Multiply-accumulates counted by walking a .tflite: what really runs under given decisions."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keras_dynamic.lite import schema
from keras_dynamic.lite.metadata import metadata_of
from keras_dynamic.lite.naming import decision_of_branch
from keras_dynamic.lite.schema import Graph, Model, Operator
from keras_dynamic.messages import near

# Operators without multiply-accumulates over a weight or a matrix: element-wise, pooling, reductions, shapes.
FREE = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BROADCAST_ARGS BROADCAST_TO CAST CEIL CONCATENATION COS CUMSUM
    DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FAKE_QUANT FILL FLOOR FLOOR_DIV FLOOR_MOD GATHER
    GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
    LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL
    ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE RANGE RANK REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD
    RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT
    SCATTER_ND SELECT SELECT_V2 SHAPE SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE UNPACK WHERE ZEROS_LIKE
    """.split()
)

Shape = tuple[int, ...]


def _conv_2d(inputs: list[Shape], output: Shape, _: Operator) -> int:
    return math.prod(output) * math.prod(inputs[1][1:])  # filters [out, height, width, in / groups]


def _depthwise_conv_2d(inputs: list[Shape], output: Shape, _: Operator) -> int:
    return math.prod(output) * math.prod(inputs[1][1:3])  # filters [1, height, width, out]


def _fully_connected(inputs: list[Shape], output: Shape, _: Operator) -> int:
    return math.prod(output) * inputs[1][-1]  # weights [out, in]


def _transpose_conv(inputs: list[Shape], _output: Shape, _: Operator) -> int:
    return math.prod(inputs[2]) * math.prod(inputs[1][:3])  # filters [out, height, width, in], the image third


def _batch_matmul(inputs: list[Shape], output: Shape, operator: Operator) -> int:
    return math.prod(output) * inputs[0][-2 if operator.builtinOptions.adjX else -1]


_RULES: dict[str, Callable[[list[Shape], Shape, Operator], int]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "BATCH_MATMUL": _batch_matmul,
}


@dataclass(frozen=True)
class Work:
    """The multiply-accumulates of a subgraph.

    Attributes:
        macs: those that always run.
        branches: per IF, the decision's name and the work of its two branches.
    """

    macs: int
    branches: "tuple[tuple[str, Work, Work], ...]"

    def count(self, decisions: Mapping[str, bool]) -> int:
        """Returns how many run under given decisions.

        Args:
            decisions: whether each decision runs its unit; only those on the way are read.

        Raises:
            ValueError: if a decision on the way is missing.
        """
        total = self.macs
        for name, then, otherwise in self.branches:
            if name not in decisions:
                raise ValueError(f"The model asks for decision {name!r}, got only {sorted(decisions)}; add it.")
            total += (then if decisions[name] else otherwise).count(decisions)
        return total


def count_macs(model: bytes, decisions: Mapping[str, bool]) -> int:
    """Counts the multiply-accumulates that a model runs under given decisions.

    Args:
        model: the .tflite's bytes, as exported: its metadata names the decisions.
        decisions: whether each decision runs its unit, by name; {} for a static model.

    Returns:
        MACs of one inference.

    Raises:
        ValueError: if the bytes are no whole .tflite, a decision is missing or unknown, or an operator's
            MACs are unknown.
    """
    parsed = schema.load(model)
    names = list((metadata_of(parsed) or {}).get("decisions", []))
    for name in decisions:
        if name not in names:
            raise ValueError(f"The model's decisions are {names}, got {name!r}{near(name, names)}.")
    return work_of(parsed, names).count(decisions)


def work_of(model: Model, names: list[str]) -> Work:
    """Returns the multiply-accumulates of a parsed model as a tree over its IFs.

    Args:
        model: the parsed model.
        names: the decisions' names, by index.

    Raises:
        ValueError: if an operator's MACs are unknown, or an IF is no decision's.
    """
    return _work(model, names, 0, ())


def _work(model: Model, names: list[str], index: int, above: tuple[int, ...]) -> Work:
    if index in above:
        raise ValueError(f"Subgraph {model.subgraphs[index].name!r} runs itself; a .tflite with loops has no MACs.")
    macs, found = 0, []
    graph = model.subgraphs[index]
    for operator in graph.operators:
        if pair := schema.branches(operator):
            decision = decision_of_branch(model.subgraphs[pair[0]].name)
            if decision is None or decision >= len(names):
                raise ValueError(
                    f"The IF with branch {model.subgraphs[pair[0]].name!r} belongs to none of the decisions {names}; "
                    "export the model with keras_dynamic, which names both."
                )
            then, otherwise = (_work(model, names, branch, (*above, index)) for branch in pair)
            found.append((names[decision], then, otherwise))
        else:
            macs += _macs(model, graph, operator)
    return Work(macs, tuple(found))


def _macs(model: Model, graph: Graph, operator: Operator) -> int:
    name = schema.op_name(model, operator)
    if name in FREE:
        return 0
    if name not in _RULES:
        raise ValueError(
            f"The MACs of operator {name} are unknown, expected one of {sorted(_RULES)} or one without any; "
            "express the layer by these."
        )
    inputs = [schema.shape(graph.tensors[t]) for t in operator.inputs if t >= 0]
    return _RULES[name](inputs, schema.shape(graph.tensors[operator.outputs[0]]), operator)
