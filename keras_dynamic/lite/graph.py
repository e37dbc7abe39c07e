"""What passes need to know of a subgraph: who makes a tensor, what depends on what, what nobody needs."""

import copy
from collections.abc import Iterable, Mapping

from keras_dynamic.lite import schema
from keras_dynamic.lite.schema import Graph, Model

Edge = tuple[int, int]  # (operator index, position among its inputs)


def producers(graph: Graph) -> dict[int, int]:
    """Returns the operator that makes each tensor; inputs and constants have none."""
    return {t: k for k, operator in enumerate(graph.operators) for t in operator.outputs}


def guards(graph: Graph, labels: Mapping[Edge, object]) -> list[frozenset | None]:
    """Returns, per operator, the labels through which every one of its uses passes.

    An operator with label L is needed only where an edge labelled L is: work exclusive to a branch.

    Args:
        graph: a subgraph, its operators in an order of execution.
        labels: labels of some of the edges.

    Returns:
        One set of labels per operator, None for operators that no output needs. Operators without outputs act by
        themselves and count as outputs.
    """
    makers = producers(graph)
    found: list[frozenset | None] = [None if operator.outputs else frozenset() for operator in graph.operators]

    def use(tensor: int, through: frozenset) -> None:
        k = makers.get(tensor)
        if k is not None:
            known = found[k]
            found[k] = through if known is None else known & through

    for tensor in graph.outputs:
        use(tensor, frozenset())
    for k in reversed(range(len(graph.operators))):
        own = found[k]
        if own is None:
            continue
        for position, tensor in enumerate(graph.operators[k].inputs):
            use(tensor, own | {labels[k, position]} if (k, position) in labels else own)
    return found


def ancestors(graph: Graph, operator: int) -> set[int]:
    """Returns the operators on which an operator depends, directly or not."""
    makers = producers(graph)
    seen: set[int] = set()
    stack = [operator]
    while stack:
        for tensor in graph.operators[stack.pop()].inputs:
            k = makers.get(tensor)
            if k is not None and k not in seen:
                seen.add(k)
                stack.append(k)
    return seen


def schedule(graph: Graph) -> None:
    """Puts the operators in an order of execution, in place, changing the given order only where it must."""
    makers = producers(graph)
    placed: set[int] = set()
    order: list[int] = []
    for first in range(len(graph.operators)):
        stack = [first]
        while stack:
            k = stack[-1]
            waiting = [makers[t] for t in graph.operators[k].inputs if t in makers and makers[t] not in placed]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if k not in placed:
                placed.add(k)
                order.append(k)
    graph.operators = [graph.operators[k] for k in order]


def redirect(model: Model, index: int, old: int, new: int) -> None:
    """Lets everything that reads one tensor read another, in place; outputs and signatures too.

    Args:
        model: the model.
        index: the subgraph's index.
        old: the tensor no longer read.
        new: the tensor read in its place.
    """
    graph = model.subgraphs[index]
    graph.outputs = [new if t == old else t for t in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [new if t == old else t for t in operator.inputs]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == index:
            for value in signature.outputs:
                value.tensorIndex = new if value.tensorIndex == old else value.tensorIndex


def drop_dead(graph: Graph) -> None:
    """Drops, in place, the operators that no output needs. They must be in an order of execution."""
    needed = guards(graph, {})
    graph.operators = [operator for operator, use in zip(graph.operators, needed, strict=True) if use is not None]


def prune(model: Model) -> None:
    """Drops, in place, the operators, tensors, buffers and operator codes that nothing needs.

    The inputs and outputs of every subgraph stay, and so do subgraphs.
    """
    for index, graph in enumerate(model.subgraphs):
        drop_dead(graph)
        _renumber_tensors(model, index)
    _renumber_buffers(model)
    codes = _kept({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[c] for c in codes]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = codes[operator.opcodeIndex]


def _kept(used: Iterable[int]) -> dict[int, int]:
    """Returns the new index of each index in use."""
    return {old: new for new, old in enumerate(sorted(used))}


def _renumber_tensors(model: Model, index: int) -> None:
    graph = model.subgraphs[index]
    used = {t for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    new = _kept((used | {*graph.inputs, *graph.outputs}) - {-1})
    graph.tensors = [graph.tensors[t] for t in new]
    graph.inputs, graph.outputs = [new[t] for t in graph.inputs], [new[t] for t in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [new.get(t, -1) for t in operator.inputs]
        operator.outputs = [new.get(t, -1) for t in operator.outputs]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == index:
            for value in signature.inputs + signature.outputs:
                value.tensorIndex = new[value.tensorIndex]


def _renumber_buffers(model: Model) -> None:
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for tensor in tensors:
        if not schema.is_constant(model, tensor):
            tensor.buffer = 0  # the schema's empty buffer
    legacy = [] if model.metadataBuffer is None else [int(b) for b in model.metadataBuffer]
    new = _kept({0, *legacy, *(t.buffer for t in tensors), *(m.buffer for m in model.metadata)})
    model.buffers = [model.buffers[b] for b in new]
    for holder in [*tensors, *model.metadata]:
        holder.buffer = new[holder.buffer]
    if legacy:
        model.metadataBuffer = [new[b] for b in legacy]


def read_from_outside(model: Model, graph: Graph, inside: list[int], results: list[int]) -> list[int]:
    """Returns the tensors that a branch takes from outside, constants left out, in the order of first use."""
    made = {t for k in inside for t in graph.operators[k].outputs}
    used = [t for k in inside for t in graph.operators[k].inputs] + results
    return [t for t in used if t >= 0 and t not in made and not schema.is_constant(model, graph.tensors[t])]


def cut(graph: Graph, inside: list[int], operands: list[int], results: list[int]) -> Graph:
    """Returns a subgraph of some of a graph's operators, with tensors of its own."""
    branch = schema.schema().SubGraphT()
    branch.tensors, branch.operators = [], []
    own: dict[int, int] = {-1: -1}

    def tensor(index: int) -> int:
        if index not in own:
            own[index] = len(branch.tensors)
            branch.tensors.append(copy.copy(graph.tensors[index]))
        return own[index]

    branch.inputs = [tensor(t) for t in operands]
    for k in inside:
        operator = copy.copy(graph.operators[k])
        operator.inputs, operator.outputs = [tensor(t) for t in operator.inputs], [tensor(t) for t in operator.outputs]
        branch.operators.append(operator)
    branch.outputs = [tensor(t) for t in results]
    return branch
