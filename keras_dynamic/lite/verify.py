"""Lists a file's operators, counts its MACs under given decisions, and checks what export promises."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.arena import TensorArena, tensors_of
from keras_dynamic.lite.branching import decision_of_branch
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, Tensor, branches, op_name
from keras_dynamic.lite.interpreter import shapes_of_one
from keras_dynamic.lite.metadata import check_whole, macs_under, metadata_needed, metadata_of
from keras_dynamic.lite.scaled_channels import NAME, may_scale
from keras_dynamic.messages import did_you_mean


@dataclass(frozen=True)
class ListedOperator:
    """One operator of a .tflite.

    Attributes:
        subgraph: the name of its subgraph.
        index: its place there.
        name: such as 'CONV_2D'.
        inputs: one text per input: type and shape, such as 'int8[1,32,32,16]' or 'const int32[2]'; '-' if left out.
        outputs: likewise.
        branches: the names of the subgraphs of an IF.
    """

    subgraph: str
    index: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    branches: tuple[str, ...]


def list_operators(model: bytes) -> list[ListedOperator]:
    """Returns every operator of every subgraph of a .tflite's bytes."""
    return _listed(flatbuffer.load(model))


def _listed(model: Model) -> list[ListedOperator]:
    return [
        ListedOperator(
            graph.name,
            k,
            op_name(model, operator),
            tuple(_text(model, graph, t) for t in operator.inputs),
            tuple(_text(model, graph, t) for t in operator.outputs),
            tuple(model.subgraphs[b].name for b in branches(operator)),
        )
        for graph in model.subgraphs
        for k, operator in enumerate(graph.operators)
    ]


def operator_table(model: bytes) -> str:
    """Returns the operators of a .tflite's bytes as text, one line each, under the names of their subgraphs."""
    parsed = flatbuffer.load(model)
    listed = _listed(parsed)
    width = max((len(row.name) for row in listed), default=0)
    lines = []
    for graph in parsed.subgraphs:
        sides = (", ".join(_text(parsed, graph, t) for t in tensors) for tensors in (graph.inputs, graph.outputs))
        lines.append(f"{graph.name}: {' -> '.join(sides)}")
        for row in (row for row in listed if row.subgraph == graph.name):
            text = f"  {row.index:3d} {row.name:{width}s}  {', '.join(row.inputs)} -> {', '.join(row.outputs)}"
            lines.append(f"{text}  {' | '.join(row.branches)}" if row.branches else text)
    return "\n".join(lines)


def _text(model: Model, graph: Graph, index: int) -> str:
    if index < 0:
        return "-"
    tensor = graph.tensors[index]
    sizes = ",".join(map(str, flatbuffer.shape(tensor)))
    return f"{'const ' if flatbuffer.is_constant(model, tensor) else ''}{flatbuffer.type_name(tensor).lower()}[{sizes}]"


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

# MACs by the shapes of the inputs and of the output.
_RULES: dict[str, Callable[..., int]] = {
    "CONV_2D": lambda ins, out, _: math.prod(out) * math.prod(ins[1][1:]),  # [out, height, width, in / groups]
    "DEPTHWISE_CONV_2D": lambda ins, out, _: math.prod(out) * math.prod(ins[1][1:3]),  # [1, height, width, out]
    "FULLY_CONNECTED": lambda ins, out, _: math.prod(out) * ins[1][-1],  # [out, in]
    "TRANSPOSE_CONV": lambda ins, out, _: math.prod(ins[2]) * math.prod(ins[1][:3]),  # likewise, the image third
    "BATCH_MATMUL": lambda ins, out, operator: math.prod(out) * ins[0][-2 if operator.builtinOptions.adjX else -1],
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
        """Returns the MACs that run under given decisions, or raises a ValueError if one that is reached is missing."""
        total = self.macs
        for name, then, otherwise in self.branches:
            if name not in decisions:
                raise ValueError(f"The MACs depend on decision {name!r}, got only {sorted(decisions)}; add it.")
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
        ValueError: if the bytes are no whole .tflite or hold stages, a decision is missing or unknown, or an operator's
            MACs are, as those of one whose size only the run decides.
    """
    parsed = flatbuffer.load(model)
    check_whole(parsed)
    set_shapes_of_one(parsed, model)
    names = list((metadata_of(parsed) or {}).get("decisions", []))
    for name in decisions:
        if name not in names:
            raise ValueError(f"The model's decisions are {names}, got {name!r}{did_you_mean(name, names)}.")
    return work_of(parsed, names).count(decisions)


def set_shapes_of_one(parsed: Model, content: bytes) -> None:
    """Sets the shapes of a model whose batch only the run decides to those of one image, as the runtime finds them.

    Args:
        parsed: model, which is changed in place; with static shapes it stays as it is.
        content: its bytes.

    Raises:
        ValueError: if the run decides more than the batch.
    """
    main = parsed.subgraphs[0]
    if all(min(flatbuffer.shape(tensor), default=0) >= 0 for tensor in main.tensors):
        return
    for t in main.inputs:
        first, *rest = flatbuffer.shape(main.tensors[t]) or (1,)
        if min(rest, default=0) < 0:
            raise ValueError(
                f"Input {main.tensors[t].name!r} has shape {[first, *rest]}, of which the run decides more than the "
                "batch, so that the MACs are unknown; export the model for one size of image."
            )
    found = shapes_of_one(content)
    for t, tensor in enumerate(main.tensors):
        tensor.shape, tensor.shapeSignature = list(found.get(t, tensor.shape)), None


def work_of(model: Model, names: list[str], index: int = 0, above: tuple[int, ...] = ()) -> Work:
    """Returns the multiply-accumulates of a parsed model's subgraph, a branch of those above, as a tree over its IFs.

    Raises:
        ValueError: if an operator's MACs are unknown, or an IF belongs to none of the decisions `names`.
    """
    graph = model.subgraphs[index]
    if index in above:
        raise ValueError(f"Subgraph {graph.name!r} runs itself; a .tflite with loops has no MACs.")
    macs, found = 0, []
    for operator in graph.operators:
        pair = branches(operator)
        if not pair:
            macs += _macs(model, graph, operator)
            continue
        name = model.subgraphs[pair[0]].name
        decision = decision_of_branch(name)
        if decision is None or decision >= len(names):
            raise ValueError(
                f"The IF with branch {name!r} belongs to none of the decisions {names}; export the model with "
                "keras_dynamic, which names both."
            )
        then, otherwise = (work_of(model, names, branch, (*above, index)) for branch in pair)
        found.append((names[decision], then, otherwise))
    return Work(macs, tuple(found))


def _macs(model: Model, graph: Graph, operator: Operator) -> int:
    name = op_name(model, operator)
    if name in FREE or scales_channels(model, graph, operator):
        return 0
    if name not in _RULES:
        raise ValueError(
            f"The MACs of operator {name} are unknown, expected one of {sorted(_RULES)} or one without any; "
            "express the layer by these."
        )
    inputs = [flatbuffer.shape(graph.tensors[t]) for t in operator.inputs if t >= 0]
    return _RULES[name](inputs, flatbuffer.shape(graph.tensors[operator.outputs[0]]), operator)


def scales_channels(model: Model, graph: Graph, operator: Operator) -> bool:
    """Returns whether an operator is a convolution that only scales an image's channels, which is no layer's work."""
    named = op_name(model, operator) == "CONV_2D" and NAME in graph.tensors[operator.outputs[0]].name
    return named and may_scale(flatbuffer.shape(graph.tensors[operator.inputs[1]]))


RANDOM_PATTERNS = 64
_COMPARING = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
_LARGEST_SCALE = 1e6  # real activations and weights stay far under it, an infinity is far over it
_FLOATS = ("FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64")


@dataclass(frozen=True)
class Verified:
    """What verify found in a model.

    Attributes:
        decisions: the decisions' names.
        macs_all_on: MACs of one inference with every decision on.
        macs_all_off: MACs with every decision off.
        subgraphs: number of subgraphs.
        conditionals: number of IFs.
        operators: number of operators, all subgraphs together.
        quantize: None or 'int8'.
        size_bytes: size of the file.
        tensors: memory for its tensors on TensorFlow Lite Micro.
    """

    decisions: tuple[str, ...]
    macs_all_on: int
    macs_all_off: int
    subgraphs: int
    conditionals: int
    operators: int
    quantize: str | None
    size_bytes: int
    tensors: TensorArena


def verify(model: bytes) -> Verified:
    """Checks an exported model.

    Every branch subgraph is used once; shapes are static; the branches' inputs and outputs have the types, shapes and
    scales of the IF's; no constant is an operand of an IF; no tensor of an int8 model is float but at its ends, see
    float_io; no constant is NaN, and scales are such as every runtime computes with; and the MACs counted by walking
    the file equal its cost table exactly, with all decisions on, all off, each one off, and 64 random patterns. The
    digest in the metadata, which this package's functions renew where they change a file, must be that of the bytes.

    Args:
        model: the .tflite's bytes, with the metadata that export writes.

    Returns:
        A small report.

    Raises:
        ValueError: if the bytes are no whole .tflite, lack the metadata, or were changed since they were written; or
            with all that is wrong, one line each.
    """
    parsed = flatbuffer.load(model)
    found = check(parsed, len(model))
    whole = flatbuffer.is_as_packed(bytes(model), parsed)
    if whole is None:
        raise ValueError("The file has no digest in its metadata, as those of older versions; export the model again.")
    if not whole:
        raise ValueError(
            "The file is not as it was written: the digest in its metadata is of other bytes; copy the file again or "
            "export the model again."
        )
    return found


def check(model: Model, size_bytes: int = 0) -> Verified:
    """Checks a parsed model as verify does; size_bytes is the file's size, for the report."""
    metadata = metadata_needed(model)
    check_whole(model)
    missing = {"decisions", "cost", "quantize"} - metadata.keys()
    if missing:
        raise ValueError(f"The model's metadata lacks {sorted(missing)}; export it again.")
    operators = [(graph, operator) for graph in model.subgraphs for operator in graph.operators]
    ends = _end_problems(model.subgraphs[0])
    problems = [*ends, *flatbuffer.subgraph_problems(model), *_tensor_problems(model, metadata["quantize"])]
    for graph, operator in operators:
        problems += _comparison_problems(model, graph, operator)
        problems += _if_problems(model, graph, operator)
    names = tuple(metadata["decisions"])
    try:
        work = work_of(model, metadata["decisions"])
    except ValueError as error:
        problems.append(str(error))
    else:
        problems += _mac_problems(work, metadata)
    if problems:
        raise ValueError("\n".join([f"The model is not what export promises ({len(problems)} found):", *problems]))
    return Verified(
        decisions=names,
        macs_all_on=work.count(dict.fromkeys(names, True)),
        macs_all_off=work.count(dict.fromkeys(names, False)),
        subgraphs=len(model.subgraphs),
        conditionals=sum(bool(branches(operator)) for _, operator in operators),
        operators=len(operators),
        quantize=metadata["quantize"],
        size_bytes=size_bytes,
        tensors=tensors_of(model),
    )


def _end_problems(main: Graph) -> Iterator[str]:
    """No tensor may be an input, or an output, twice."""
    for kind, tensors in (("inputs", main.inputs), ("outputs", main.outputs)):
        if len(set(tensors)) < len(tensors):
            yield f"The {kind} {tensors} of {main.name!r} must be different tensors."


def _tensor_problems(model: Model, quantize: str | None) -> Iterator[str]:
    main, kinds = model.subgraphs[0], {"QUANTIZE": "inputs", "DEQUANTIZE": "outputs"}
    ends = {  # floats that float_io has put around an int8 file
        (0, t)
        for operator in main.operators
        for t in getattr(operator, kinds.get(op_name(model, operator), ""), ())
        if t in (*main.inputs, *main.outputs)
    }
    for index, graph in enumerate(model.subgraphs):
        for place, tensor in enumerate(graph.tensors):
            name, shape, kind = (
                f"Tensor {tensor.name!r} of {graph.name!r}",
                flatbuffer.shape(tensor),
                flatbuffer.type_name(tensor),
            )
            if any(size < 1 for size in shape):
                yield f"{name} must have a static shape, has {list(shape)}."
            wrong = [scale for scale in flatbuffer.quantization(tensor)[0] if not 0 < scale <= _LARGEST_SCALE]
            if wrong:
                yield f"{name} has scale {wrong[0]:g}, which must be over 0 and at most {_LARGEST_SCALE:g}."
            floats = kind in ("FLOAT32", "FLOAT64") and flatbuffer.is_constant(model, tensor)
            if floats and np.isnan(flatbuffer.constant(model, tensor)).any():
                yield f"{name} is a constant that holds NaN."
            if quantize == "int8" and kind in _FLOATS and (index, place) not in ends:
                yield f"{name} is {kind} in an int8 model."


def _comparison_problems(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    """TensorFlow Lite Micro aborts where an int8 comparison reads a scale of 1 or more."""
    if op_name(model, operator) not in _COMPARING:
        return
    for tensor in (graph.tensors[t] for t in operator.inputs):
        scales, _ = flatbuffer.quantization(tensor)
        if scales and max(scales) >= 1:
            yield (
                f"Tensor {tensor.name!r} of {graph.name!r} is compared in int8 with scale {max(scales):g}, which must "
                "be under 1; normalise what the comparison reads."
            )


def _if_problems(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    pair = branches(operator)
    operands, results = ([graph.tensors[t] for t in tensors] for tensors in (operator.inputs, operator.outputs))
    for tensor in operands if pair else ():
        if flatbuffer.is_constant(model, tensor):
            yield f"Constant {tensor.name!r} is passed to an IF of {graph.name!r}; it belongs into the branches."
    for branch in (model.subgraphs[index] for index in pair):
        for kind, outside, inside in (("inputs", operands[1:], branch.inputs), ("outputs", results, branch.outputs)):
            if len(outside) != len(inside):
                yield f"Branch {branch.name!r} has {len(inside)} {kind}, its IF {len(outside)}."
                continue
            for theirs, own in zip(outside, (branch.tensors[t] for t in inside), strict=True):
                if _kind(theirs) != _kind(own):
                    yield f"Branch {branch.name!r}, {kind}: {own.name!r} is {_kind(own)}, its IF's is {_kind(theirs)}."


def _kind(tensor: Tensor) -> str:
    scales, zero_points = flatbuffer.quantization(tensor)
    scale = f" scale {scales} zero point {zero_points}" if scales else ""
    return f"{flatbuffer.type_name(tensor)} {list(flatbuffer.shape(tensor))}{scale}"


def _patterns(names: list[str]) -> list[dict[str, bool]]:
    """Returns the decisions under which MACs are counted."""
    all_on = dict.fromkeys(names, True)
    if not names:
        return [all_on]
    rng = random.Random(0)
    drawn = [{name: rng.random() < 0.5 for name in names} for _ in range(RANDOM_PATTERNS)]
    return [all_on, dict.fromkeys(names, False), *({**all_on, name: False} for name in names), *drawn]


def _mac_problems(work: Work, metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yields the first pattern of decisions under which the model's MACs are not those of the cost table."""
    names, parts = metadata["decisions"], metadata["cost"]
    unknown = {name for part in parts for name in (*part["when"], *part.get("unless", ()))} - set(names)
    if unknown:
        yield f"The cost table names decisions that the model lacks: {sorted(unknown)}."
        return
    patterns = _patterns(names)
    counts = [(pattern, work.count(pattern), macs_under(parts, pattern)) for pattern in patterns]
    wrong = [each for each in counts if each[1] != each[2]]
    if wrong:
        pattern, counted, table = wrong[0]
        off = [name for name in names if not pattern[name]]
        yield (
            f"MACs differ under {len(wrong)} of {len(patterns)} patterns of decisions: with {off} off the model runs "
            f"{counted} MACs, its cost table says {table}."
        )
