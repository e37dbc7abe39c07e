"""Where TensorFlow Lite Micro puts a file's tensors, and a plan of it under which a condition copies nothing.

Its own plan gives the operands and results of an IF memory apart from that of the branches' inputs and outputs, into
and out of which they are copied, so that a feature map before a unit that is decided exists twice. A plan in the file
may give both the same memory, and what lies in the same place is not copied.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import decision_of_branch
from keras_dynamic.lite.flatbuffer import Model, branches
from keras_dynamic.lite.metadata import metadata_of
from keras_dynamic.lite.program import plan_memory, program_of, size_of

_ALIGNMENT = 16  # of tensors in the runtime's arena
_OPEN = -1  # the offset of what the runtime itself places


def plan_arena(content: bytes) -> bytes:
    """Gives a .tflite a plan of memory for TensorFlow Lite Micro under which its conditions copy no feature map.

    Answers stay as they are; other runtimes ignore the plan. Functions that change a planned file drop its plan, as it
    names places of that file's tensors: plan last.

    Args:
        content: the bytes of a .tflite of which every subgraph but the first is a branch of one IF, as export writes.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite, a subgraph is none of that kind, or a size is known to the run
            alone.
    """
    return flatbuffer.edited(content, _plan)


def _plan(model: Model) -> None:
    _check(model)
    flatbuffer.prune(model)  # of a former plan's bytes
    program = program_of(model, interpreted=True)
    memory = plan_memory(program, frozenset(), _ALIGNMENT)
    known = {
        (block.number, tensor): memory.offsets[value]
        for block in program.main.blocks()
        for tensor, value in block.values.items()
        if value in memory.offsets
    }
    flatbuffer.set_plan(model, [known.get(key, _OPEN) for key in _keys(model)])


class TensorArena(NamedTuple):
    """The part of TensorFlow Lite Micro's arena that a file's tensors take; the rest is the interpreter's own.

    Attributes:
        bytes: of the whole plan.
        decisions: {decision: bytes that are needed at once, at most, where its condition runs}.
        peak: the decision in whose condition the most is needed, the innermost; None where it is outside of any.
    """

    bytes: int
    decisions: dict[str, int]
    peak: str | None


def tensor_arena(content: bytes) -> TensorArena:
    """Returns the memory that TensorFlow Lite Micro gives to a file's tensors, by its own plan or that in the file.

    Kernels that take scratch memory, such as CMSIS-NN's, need more.

    Args:
        content: as of plan_arena.

    Raises:
        ValueError: as plan_arena.
    """
    return tensors_of(flatbuffer.load(content))


def tensors_of(model: Model) -> TensorArena:
    """Returns the same of a parsed model."""
    _check(model)
    lives, moments = _lifetimes(model)
    tensors = {key: model.subgraphs[key[0]].tensors[key[1]] for key in sorted(lives)}
    sizes = {
        key: -(-size_of(tensor) // _ALIGNMENT) * _ALIGNMENT
        for key, tensor in tensors.items()
        if not flatbuffer.is_constant(model, tensor)
    }
    spans = _spans(sizes, lives, _given(model), len(moments))
    needed = [_covered(here) for here in spans]
    decisions: dict[str, int] = {}
    for inside, here in zip(moments, needed, strict=True):
        for name in inside:
            decisions[name] = max(decisions.get(name, 0), here)
    most = moments[int(np.argmax(needed))]
    whole = max((end for here in spans for _, end in here), default=0)
    return TensorArena(whole, decisions, most[-1] if most else None)


def _check(model: Model) -> None:
    problem = next(flatbuffer.subgraph_problems(model), None)
    if problem:
        raise ValueError(f"A plan of memory takes a file whose subgraphs are branches of IFs. {problem}")
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if min(flatbuffer.shape(tensor), default=1) < 0:
                raise ValueError(
                    f"Tensor {tensor.name!r} has shape {list(flatbuffer.shape(tensor))}, of which the run decides a "
                    "part, so that its memory is unknown; export the model for one image of one size."
                )


_Key = tuple[int, int]  # subgraph, tensor


def _keys(model: Model) -> list[_Key]:
    """Returns all tensors, in the order of a plan."""
    return [(number, tensor) for number, graph in enumerate(model.subgraphs) for tensor in range(len(graph.tensors))]


def _given(model: Model) -> dict[_Key, int]:
    """Returns the offsets of the plan in the file."""
    keys = _keys(model)
    plan = model.plan if model.plan is not None else [_OPEN] * len(keys)
    return {key: offset for key, offset in zip(keys, plan, strict=True) if offset != _OPEN}


def _lifetimes(model: Model) -> tuple[dict[_Key, list[int]], list[tuple[str, ...]]]:
    """Returns the first and last moment of each tensor, as the runtime counts them, and of each moment the decisions
    in whose conditions it is, the outermost first.
    """
    names = (metadata_of(model) or {}).get("decisions", [])
    lives: dict[_Key, list[int]] = {}
    moments: list[tuple[str, ...]] = []

    def walk(number, inside):
        graph = model.subgraphs[number]
        moments.append(inside)
        for tensor in graph.inputs:
            lives.setdefault((number, tensor), [len(moments) - 1] * 2)
        for operator in graph.operators:
            pair = branches(operator)
            if pair:
                side = model.subgraphs[pair[0]].name
                decision = decision_of_branch(side)
                known = decision is not None and decision < len(names)
                within = (*inside, names[decision] if known else side)
            moments.append(within if pair else inside)
            for tensor in operator.outputs:
                lives.setdefault((number, tensor), [len(moments) - 1] * 2)
            for branch in pair:
                walk(branch, within)
            for tensor in (*operator.inputs, *operator.outputs):
                if (number, tensor) in lives:
                    lives[number, tensor][1] = len(moments) - 1
        for tensor in graph.outputs:
            lives.setdefault((number, tensor), [len(moments) - 1] * 2)[1] = len(moments) - 1

    walk(0, ())
    return lives, moments


_Span = tuple[int, int]  # first byte, end


def _spans(sizes, lives, given, count) -> list[set[_Span]]:
    """Returns for each moment where its tensors lie.

    The runtime keeps to the offsets that are given, and puts the others, the largest first, of equals the last, each
    into the first gap that is free all its life.
    """
    found: list[set[_Span]] = [set() for _ in range(count)]
    for key in sorted(sizes, key=lambda key: (key in given, sizes[key], key), reverse=True):
        first, last = lives[key]
        life = found[first : last + 1]
        start = given.get(key, 0)
        for offset, end in sorted(set().union(*life)) if key not in given else ():
            if offset - start >= sizes[key]:
                break
            start = max(start, end)
        for here in life:
            here.add((start, start + sizes[key]))
    return found


def _covered(spans: Iterable[_Span]) -> int:
    """Returns how many bytes lie in at least one of some spans."""
    total = reached = 0
    for first, end in sorted(spans):
        total += max(0, end - max(first, reached))
        reached = max(reached, end)
    return total
