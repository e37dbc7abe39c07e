"""Turns selects on decisions into IFs and moves the work that only one side needs into that side's subgraph."""

import copy
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import branch_name, decision_of_branch, decision_of_tensor
from keras_dynamic.lite.flatbuffer import (
    Graph,
    Model,
    Operator,
    ancestors,
    cut,
    drop_dead,
    guards,
    producers,
    prune,
    read_from_outside,
    redirect,
    schedule,
)

_RESHAPING = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_SIDES = {"then": 1, "else": 2}  # position among a select's inputs


@dataclass(frozen=True)
class _Select:
    """A select on a decision: the operator's index, its condition's tensor and name, and the decision's index."""

    operator: int
    condition: int
    decision: int
    name: str


def outline(model: bytes) -> bytes:
    """Turns a select model into one that skips.

    All selects on one condition (SELECT or SELECT_V2 on one element, made in a decision's scope) become one IF with
    several outputs, outermost first. What only their then-operands need moves into the IF's then-subgraph, likewise for
    else; what both sides or anyone else needs stays where it is. Selects on one condition that depend on one another
    become separate IFs. Constants are copied into the branches, sharing their buffer. A select whose condition is
    constant is replaced by the operand that it picks.

    Work that two selects on one condition share where one depends on the other stays outside of both IFs and always
    runs. Where none does, and one of them is needed under another decision only, both become one IF all the same.

    Args:
        model: the bytes of a .tflite made from a batch-1 select graph, its conditions under branching.decision_scope.

    Returns:
        The .tflite's bytes with branch subgraphs named by branching.branch_name; no two IFs share one.

    Raises:
        ValueError: if the bytes are no .tflite, or an operand of a select is computed in another shape than the result.
    """
    return flatbuffer.edited(model, selects_to_ifs)


def selects_to_ifs(model: Model) -> None:
    """Turns the selects of a parsed model into IFs, in place, see outline."""
    waiting = list(range(len(model.subgraphs)))
    while waiting:
        index = waiting.pop()
        _prepare(model, index)
        graph = model.subgraphs[index]
        needed = _needed_with_others(graph, _selects(model, graph))
        while group := _outermost(graph, _selects(model, graph), needed):
            waiting += _to_if(model, graph, group, needed)
            schedule(graph)
    _number_branches(model)
    prune(model)


def _selects(model: Model, graph: Graph) -> list[_Select]:
    """Returns the selects on decisions, in the order of the operators."""
    makers = producers(graph)
    found = []
    for k, operator in enumerate(graph.operators):
        if flatbuffer.op_name(model, operator) not in ("SELECT", "SELECT_V2"):
            continue
        tensor = operator.inputs[0]
        if math.prod(flatbuffer.shape(graph.tensors[tensor])) != 1:
            continue
        names = [graph.tensors[tensor].name]
        while (maker := makers.get(tensor)) is not None and flatbuffer.op_name(
            model, graph.operators[maker]
        ) in _RESHAPING:
            tensor = graph.operators[maker].inputs[0]
            names.append(graph.tensors[tensor].name)
        for name in names:
            if (decision := decision_of_tensor(name)) is not None:
                found.append(_Select(k, tensor, decision, name))
                break
    return found


def _prepare(model: Model, index: int) -> None:
    """Gives operands their result's shape, resolves selects on constants, and puts the operators in order, in place.

    A select reads its condition itself, not a RESHAPE of it: a RESHAPE that several selects share stays outside of an
    IF into which only some of them move, and an IF's operands are recognised by name alone.
    """
    graph = model.subgraphs[index]
    buffers: dict[bytes, int] = {}
    for select in _selects(model, graph):
        operator = graph.operators[select.operator]
        condition = graph.tensors[select.condition]
        if decision_of_tensor(condition.name) is None:
            condition.name = select.name
        operator.inputs[0] = select.condition
        for position in _SIDES.values():
            operator.inputs[position] = _fitted(model, graph, operator.inputs[position], operator.outputs[0], buffers)
        if flatbuffer.is_constant(model, condition):
            side = "then" if flatbuffer.constant(model, condition).item() else "else"
            redirect(model, index, operator.outputs[0], operator.inputs[_SIDES[side]])
    schedule(graph)
    drop_dead(graph)


def _fitted(model: Model, graph: Graph, operand: int, result: int, buffers: dict[bytes, int]) -> int:
    """Returns a tensor with the operand's values in the result's shape, adding a constant or a RESHAPE where needed.

    The converter shrinks constants of one value to scalars, since selects broadcast; an IF's outputs do not. Constants
    of the same bytes share one of the buffers.
    """
    source, target = graph.tensors[operand], graph.tensors[result]
    wanted = flatbuffer.shape(target)
    if flatbuffer.shape(source) == wanted:
        return operand
    fitted = copy.copy(source)
    fitted.shape, fitted.shapeSignature, fitted.hasRank = list(wanted), None, True
    graph.tensors.append(fitted)
    made = len(graph.tensors) - 1
    if flatbuffer.is_constant(model, source):
        values = np.broadcast_to(flatbuffer.constant(model, source), wanted).tobytes()
        if values not in buffers:
            buffers[values] = flatbuffer.add_buffer(model, values)
        fitted.buffer = buffers[values]
    elif math.prod(flatbuffer.shape(source)) == math.prod(wanted):
        graph.operators.append(_reshape(model, graph, operand, made))
    else:
        raise ValueError(
            f"Both sides of a decision must have the shape of its result {list(wanted)}, got "
            f"{list(flatbuffer.shape(source))} computed by {source.name!r}; broadcast it before the decision selects."
        )
    return made


def _reshape(model: Model, graph: Graph, source: int, result: int) -> Operator:
    """Returns an operator that gives one tensor the shape of another."""
    shape = flatbuffer.add_int32(model, graph, "shape", flatbuffer.shape(graph.tensors[result]))
    return flatbuffer.new_operator(model, "RESHAPE", [source, shape], [result])


def _needed_with_others(graph: Graph, selects: list[_Select]) -> list[int]:
    """Returns the results of selects that only another decision needs, but which share work with one on their condition
    that is needed anyway: apart, that work would always run.
    """
    labels = {(s.operator, p): (s.condition, side) for s in selects for side, p in _SIDES.items()}
    guarded, found = guards(graph, labels), []
    for condition in dict.fromkeys(select.condition for select in selects):
        own = [select for select in selects if select.condition == condition]
        anyway = [select.operator for select in own if not guarded[select.operator]]
        under_others = [select.operator for select in own if guarded[select.operator]]
        if not anyway or not under_others:
            continue
        exclusive = guards(graph, {(s.operator, p): side for s in own for side, p in _SIDES.items()})
        work = {k for k, sides in enumerate(exclusive) if sides}
        before = {k: ancestors(graph, k) for k in (*anyway, *under_others)}
        for k in under_others:
            apart = [other for other in anyway if other not in before[k] and k not in before[other]]
            if any(before[k] & before[other] & work for other in apart):
                found.append(graph.operators[k].outputs[0])
    return found


def _outermost(graph: Graph, selects: list[_Select], needed: list[int]) -> list[_Select]:
    """Returns selects on one condition that can become one IF now, in the order of the operators; [] if none is left.

    None depends on another one, and all are needed under any other decision, as those are whose results are among
    `needed`. The last select always qualifies.
    """
    if not selects:
        return []
    labels = {(s.operator, p): (s.condition, side) for s in selects for side, p in _SIDES.items()}
    guarded = guards(graph, labels, needed)
    group = [selects[-1]]
    before = ancestors(graph, selects[-1].operator)
    for select in reversed(selects[:-1]):
        k = select.operator
        if select.condition == group[0].condition and k not in before and not guarded[k]:
            group.insert(0, select)
            before |= ancestors(graph, k)
    return group


def _to_if(model: Model, graph: Graph, group: list[_Select], needed: list[int]) -> tuple[int, int]:
    """Replaces a group of selects by one IF, in place, and returns the indices of its two new subgraphs.

    needed: as in _outermost.
    """
    selects = [graph.operators[select.operator] for select in group]
    labels = {(s.operator, p): side for s in group for side, p in _SIDES.items()}
    guarded = guards(graph, labels, needed)
    inside = {side: [k for k, found in enumerate(guarded) if found and side in found] for side in _SIDES}
    results = {side: [select.inputs[p] for select in selects] for side, p in _SIDES.items()}
    operands: dict[int, None] = {}  # an ordered set
    for side in _SIDES:
        operands.update(dict.fromkeys(read_from_outside(model, graph, inside[side], results[side])))
    for side in _SIDES:
        branch = cut(graph, inside[side], list(operands), results[side])
        branch.name = branch_name(group[0].decision, side)
        model.subgraphs.append(branch)

    inputs, outputs = [group[0].condition, *operands], [select.outputs[0] for select in selects]
    made = flatbuffer.new_operator(model, "IF", inputs, outputs, "If")
    new = len(model.subgraphs) - 2, len(model.subgraphs) - 1
    made.builtinOptions.thenSubgraphIndex, made.builtinOptions.elseSubgraphIndex = new
    gone = {*inside["then"], *inside["else"], *(select.operator for select in group)}
    graph.operators = [operator for k, operator in enumerate(graph.operators) if k not in gone] + [made]
    return new


def _number_branches(model: Model) -> None:
    """Numbers the IFs of each decision in order of execution."""
    ordinals: Counter[int] = Counter()
    waiting = model.subgraphs[0].operators[::-1]
    while waiting:
        pair = flatbuffer.branches(waiting.pop())
        if not pair:
            continue
        decision = decision_of_branch(model.subgraphs[pair[0]].name)
        if decision is not None:
            ordinals[decision] += 1
            for index, side in zip(pair, _SIDES, strict=True):
                model.subgraphs[index].name = branch_name(decision, side, ordinals[decision])
        for index in reversed(pair):
            waiting += reversed(model.subgraphs[index].operators)
