"""Checks that an exported model really skips, and that it runs what its cost table says."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.macs import Work, work_of
from keras_dynamic.lite.metadata import macs_under, metadata_needed
from keras_dynamic.lite.schema import Graph, Model, Operator, Tensor

RANDOM_PATTERNS = 64
_COMPARING = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
_LARGEST_SCALE = 1e6  # real activations and weights stay far under it, an infinity is far over it
_FLOATS = ("FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64")


@dataclass(frozen=True)
class Verified:
    """What a model was found to be.

    Attributes:
        decisions: the decisions' names.
        macs_all_on: MACs of one inference with every decision on.
        macs_all_off: MACs with every decision off.
        subgraphs: number of subgraphs.
        conditionals: number of IFs.
        operators: number of operators, all subgraphs together.
        quantize: None or 'int8'.
        size_bytes: size of the file.
    """

    decisions: tuple[str, ...]
    macs_all_on: int
    macs_all_off: int
    subgraphs: int
    conditionals: int
    operators: int
    quantize: str | None
    size_bytes: int


def verify(model: bytes) -> Verified:
    """Checks an exported model.

    Every branch subgraph is used once; shapes are static; the branches' inputs and outputs have the types, shapes and
    scales of the IF's; no constant is an operand of an IF; no tensor of an int8 model is float; no constant is NaN, and
    scales are such as every runtime computes with; and the MACs counted by walking the file equal its cost table
    exactly, with all decisions on, all off, each one off, and 64 random patterns.

    Args:
        model: the .tflite's bytes, with the metadata that export writes.

    Returns:
        A small report.

    Raises:
        ValueError: if the bytes are no whole .tflite or lack the metadata, or with all that is wrong, one line each.
    """
    parsed = schema.load(model)
    metadata = metadata_needed(parsed)
    missing = {"decisions", "cost", "quantize"} - metadata.keys()
    if missing:
        raise ValueError(f"The model's metadata lacks {sorted(missing)}; export it again.")
    problems = [*_subgraph_problems(parsed), *_tensor_problems(parsed, metadata["quantize"])]
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            problems += _comparison_problems(parsed, graph, operator)
            if schema.branches(operator):
                problems += _if_problems(parsed, graph, operator)
    try:
        work = work_of(parsed, metadata["decisions"])
    except ValueError as error:
        problems.append(str(error))
    else:
        problems += _mac_problems(work, metadata)
    if problems:
        raise ValueError("\n".join([f"The model is not what export promises ({len(problems)} found):", *problems]))
    names = tuple(metadata["decisions"])
    operators = [operator for graph in parsed.subgraphs for operator in graph.operators]
    return Verified(
        decisions=names,
        macs_all_on=work.count(dict.fromkeys(names, True)),
        macs_all_off=work.count(dict.fromkeys(names, False)),
        subgraphs=len(parsed.subgraphs),
        conditionals=sum(bool(schema.branches(operator)) for operator in operators),
        operators=len(operators),
        quantize=metadata["quantize"],
        size_bytes=len(model),
    )


def _subgraph_problems(model: Model) -> Iterator[str]:
    """Every subgraph but the first must be the branch of one IF."""
    uses = Counter(b for graph in model.subgraphs for operator in graph.operators for b in schema.branches(operator))
    for index, graph in enumerate(model.subgraphs):
        wanted = int(index > 0)
        if uses[index] != wanted:
            yield f"Subgraph {index} ({graph.name!r}) must be used {wanted} times, is used {uses[index]} times."


def _tensor_problems(model: Model, quantize: str | None) -> Iterator[str]:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            shape = schema.shape(tensor)
            if any(size < 1 for size in shape):
                yield f"Tensor {tensor.name!r} of {graph.name!r} must have a static shape, has {list(shape)}."
            if (wrong := _absurd(model, tensor)) is not None:
                yield f"Tensor {tensor.name!r} of {graph.name!r} {wrong}."
            if quantize == "int8" and schema.type_name(tensor) in _FLOATS:
                yield f"Tensor {tensor.name!r} of {graph.name!r} is {schema.type_name(tensor)} in an int8 model."


def _absurd(model: Model, tensor: Tensor) -> str | None:
    """Returns what is wrong with a tensor's scale or constant values, None if they are numbers to compute with."""
    scales, _ = schema.quantization(tensor)
    wrong = next((scale for scale in scales if not 0 < scale <= _LARGEST_SCALE), None)
    if wrong is not None:
        return f"has scale {wrong:g}, which must be over 0 and at most {_LARGEST_SCALE:g}"
    floats = schema.type_name(tensor) in ("FLOAT32", "FLOAT64") and schema.is_constant(model, tensor)
    return "is a constant that holds NaN" if floats and np.isnan(schema.constant(model, tensor)).any() else None


def _comparison_problems(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    """TensorFlow Lite Micro aborts where an int8 comparison reads a scale of 1 or more."""
    if schema.op_name(model, operator) not in _COMPARING:
        return
    for tensor in (graph.tensors[t] for t in operator.inputs):
        scales, _ = schema.quantization(tensor)
        if scales and max(scales) >= 1:
            yield (
                f"Tensor {tensor.name!r} of {graph.name!r} is compared in int8 with scale {max(scales):g}, which must "
                "be under 1; normalise what the comparison reads."
            )


def _if_problems(model: Model, graph: Graph, operator: Operator) -> Iterator[str]:
    condition, *operands = (graph.tensors[t] for t in operator.inputs)
    results = [graph.tensors[t] for t in operator.outputs]
    for tensor in (condition, *operands):
        if schema.is_constant(model, tensor):
            yield f"Constant {tensor.name!r} is passed to an IF of {graph.name!r}; it belongs into the branches."
    for index in schema.branches(operator):
        branch = model.subgraphs[index]
        for kind, outside, inside in (("inputs", operands, branch.inputs), ("outputs", results, branch.outputs)):
            if len(outside) != len(inside):
                yield f"Branch {branch.name!r} has {len(inside)} {kind}, its IF {len(outside)}."
                continue
            for theirs, own in zip(outside, (branch.tensors[t] for t in inside), strict=True):
                if _kind(theirs) != _kind(own):
                    yield f"Branch {branch.name!r}, {kind}: {own.name!r} is {_kind(own)}, its IF's is {_kind(theirs)}."


def _kind(tensor: Tensor) -> str:
    scales, zero_points = schema.quantization(tensor)
    scale = f" scale {scales} zero point {zero_points}" if scales else ""
    return f"{schema.type_name(tensor)} {list(schema.shape(tensor))}{scale}"


def _patterns(names: list[str]) -> Iterator[dict[str, bool]]:
    """Yields the decisions under which MACs are counted."""
    all_on = dict.fromkeys(names, True)
    yield all_on
    if names:
        yield dict.fromkeys(names, False)
        yield from ({**all_on, name: False} for name in names)
        rng = random.Random(0)
        yield from ({name: rng.random() < 0.5 for name in names} for _ in range(RANDOM_PATTERNS))


def _mac_problems(work: Work, metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yields the first pattern of decisions under which the model's MACs are not those of the cost table."""
    names, parts = metadata["decisions"], metadata["cost"]
    unknown = {name for part in parts for name in (*part["when"], *part.get("unless", ()))} - set(names)
    if unknown:
        yield f"The cost table names decisions that the model lacks: {sorted(unknown)}."
        return
    wrong = []
    for pattern in _patterns(names):
        table = macs_under(parts, pattern)
        counted = work.count(pattern)
        if counted != table:
            off = [name for name in names if not pattern[name]]
            wrong.append(f"with {off} off the model runs {counted} MACs, its cost table says {table}")
    if wrong:
        yield f"MACs differ under {len(wrong)} of {len(list(_patterns(names)))} patterns of decisions: {wrong[0]}."
