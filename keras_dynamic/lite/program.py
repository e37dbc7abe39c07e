"""What a parsed .tflite computes, step by step, and where in one block of memory each tensor lies.

A branch of an IF works on its caller's tensors and writes its results to where the caller reads them. Two tensors may
share memory if no run needs both at one time, so that the two branches of an IF lie over each other; results of
operators that go element by element replace an operand that nothing reads any more. What follows element by element,
or by a scaling of channels, from the model's inputs, such as a normalised image, is computed anew in a branch that
reads it rather than kept for it. An interpreter, which runs every operator where the file has it, takes the same plan
without this.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, Tensor
from keras_dynamic.lite.scaled_channels import may_scale

ALIGNMENT = 4
_ORDERS = 200  # that are tried; most plans are the least there is at once
# Operators that read an element before they write it at the same place, so that a result may replace an operand.
IN_PLACE = frozenset(
    "ADD SUB MUL MAXIMUM MINIMUM LOGICAL_AND LOGISTIC TANH QUANTIZE RELU RELU6 LEAKY_RELU RESHAPE SQUEEZE EXPAND_DIMS "
    "HARD_SWISH SOFTMAX LOG_SOFTMAX EXP ABS".split()
)


@dataclass(eq=False)
class Value:
    """A tensor in memory, which branches know under tensors of their own.

    Attributes:
        tensor: one that stands for it.
        input: place among the model's inputs that are not in the block of memory; None for others.
        recipe: the step that makes it, if it follows from inputs of the model element by element; None for others.
        block: that has this step.
    """

    tensor: Tensor
    input: int | None = None
    recipe: "Step | None" = None
    block: "Block | None" = None

    @property
    def size(self) -> int:
        """Bytes."""
        return size_of(self.tensor)


def size_of(tensor: Tensor) -> int:
    """Returns a tensor's bytes."""
    return math.prod(flatbuffer.shape(tensor)) * flatbuffer.dtype(tensor).itemsize


class Constant(NamedTuple):
    """A tensor of which the file has the values."""

    tensor: Tensor


class Step(NamedTuple):
    """An operator.

    Attributes:
        name: of the operator; 'COPY' of one input for what is needed in another place.
        graph: that it is part of; None for a copy.
        place: its number in that graph.
        inputs: a Value, a Constant, or None for one that is left out, each.
        outputs: Values.
    """

    name: str
    graph: Graph | None
    place: int
    inputs: tuple[Any, ...]
    outputs: tuple[Value, ...]

    @property
    def operator(self) -> Operator:
        """The file's operator."""
        assert self.graph is not None
        return self.graph.operators[self.place]


class If(NamedTuple):
    """One of two blocks, by a condition."""

    condition: Value
    then: "Block"
    otherwise: "Block"


@dataclass(eq=False)
class Block:
    """Steps in order.

    Attributes:
        number: of the subgraph.
        steps: Steps and Ifs.
        values: {tensor of the subgraph: its Value}, without constants.
    """

    number: int
    steps: list = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)

    def blocks(self) -> Iterator["Block"]:
        """Yields the blocks of all branches inside, and this one last."""
        for step in self.steps:
            if isinstance(step, If):
                yield from step.then.blocks()
                yield from step.otherwise.blocks()
        yield self


class Program(NamedTuple):
    """A model as steps.

    Attributes:
        main: block of the whole.
        inputs: Values of the model's inputs, in the signature's order.
        outputs: of its outputs.
    """

    main: Block
    inputs: list[Value]
    outputs: list[Value]


def program_of(model: Model, interpreted: bool = False) -> Program:
    """Returns a parsed model as steps, branches inside of them.

    Args:
        model: of which every subgraph but the first is a branch of one IF.
        interpreted: whether an interpreter runs it: the model's inputs lie in the block of memory, so that nothing is
            computed anew from them, and steps whose results nothing reads run too.
    """
    main = model.subgraphs[0]
    inputs = [Value(main.tensors[t], None if interpreted else place) for place, t in enumerate(main.inputs)]
    outputs = [Value(main.tensors[t]) for t in main.outputs]
    block = _block(model, 0, inputs, outputs)
    if not interpreted:
        _drop_unread(block, set(outputs))
    return Program(block, inputs, outputs)


def _drop_unread(block, live) -> set[Value]:
    """Drops, in place, the steps whose results nothing reads; returns what is needed before the block."""
    kept = []
    for step in reversed(block.steps):
        if isinstance(step, If):
            live = _drop_unread(step.then, set(live)) | _drop_unread(step.otherwise, set(live)) | {step.condition}
        elif live.isdisjoint(step.outputs):
            continue
        else:
            live = (live - set(step.outputs)) | {each for each in step.inputs if isinstance(each, Value)}
        kept.append(step)
    block.steps = kept[::-1]
    return live


def _block(model, index, given, wanted) -> Block:
    """Returns a subgraph's steps, its inputs being these Values, which write its outputs to those wanted."""
    graph = model.subgraphs[index]
    block, known = Block(index), dict(zip(graph.inputs, given, strict=True))
    made = flatbuffer.producers(graph)
    for tensor, value in zip(graph.outputs, wanted, strict=True):
        if tensor in made and tensor not in known:
            known[tensor] = value

    again: dict[Value, Value] = {}

    def here(value):
        """Returns a Value, made again in this block if that saves keeping it."""
        if not isinstance(value, Value) or value.recipe is None or value.block is block:
            return value
        if value not in again:
            recipe = value.recipe
            made = recipe._replace(inputs=tuple(map(here, recipe.inputs)), outputs=(Value(value.tensor),))
            again[value] = made.outputs[0]
            _add(block, made)
        return again[value]

    def operand(tensor):
        if tensor < 0:
            return None
        return known.get(tensor) or Constant(graph.tensors[tensor])

    for place, operator in enumerate(graph.operators):
        results = [known.setdefault(t, Value(graph.tensors[t])) for t in operator.outputs]
        pair = flatbuffer.branches(operator)
        if pair:
            condition, *operands = map(operand, operator.inputs)
            block.steps.append(If(here(condition), *(_block(model, side, operands, results) for side in pair)))
            continue
        inputs = tuple(here(operand(tensor)) for tensor in operator.inputs)
        _add(block, Step(flatbuffer.op_name(model, operator), graph, place, inputs, tuple(results)))
    for tensor, value in zip(graph.outputs, wanted, strict=True):
        if known.get(tensor) is not value:
            block.steps.append(Step("COPY", None, 0, (here(operand(tensor)),), (value,)))
        value.recipe = None  # after an IF a result is that of either branch
    block.values = known
    return block


def _add(block, step):
    """Adds a step to a block, and notes it on its result if that follows from the model's inputs."""
    given = [each for each in step.inputs if isinstance(each, Value)]
    follows = all(each.input is not None or each.recipe is not None for each in given)
    scales = step.name == "CONV_2D" and may_scale(flatbuffer.shape(step.inputs[1].tensor))
    if given and follows and (step.name in IN_PLACE or scales):
        step.outputs[0].recipe, step.outputs[0].block = step, block
    block.steps.append(step)


class Memory(NamedTuple):
    """A plan of one block of memory.

    Attributes:
        offsets: {Value: bytes from the start}.
        size: bytes of the block.
    """

    offsets: dict[Value, int]
    size: int


def plan_memory(program: Program, in_place: frozenset[str] = IN_PLACE, alignment: int = ALIGNMENT) -> Memory:
    """Returns where each Value lies; those that share memory entirely have one offset.

    Args:
        program: of which something lies in the block of memory.
        in_place: the operators whose result may replace an operand.
        alignment: of offsets and of the size.
    """
    found = _Interference(in_place, alignment)
    found.begin(found.walk(program.main, set(program.outputs)))
    found.share()
    least = max(map(found.bytes_of, found.moments), default=0)  # no plan has fewer
    members = defaultdict(list)
    for value in found.values:
        members[found.root(value)].append(value)
    sizes = {root: max(value.size for value in values) for root, values in members.items()}
    plans = (_place(sizes, found.apart, order, alignment) for order in _orders(sizes, found.apart))
    best = next(plans)
    while best.size > least and (plan := next(plans, None)):
        best = min(best, plan, key=lambda each: each.size)
    offsets = {value: best.offsets[root] for root, values in members.items() for value in values}
    return Memory(offsets, best.size)


class _Interference:
    """Which Values cannot share memory."""

    def __init__(self, in_place, alignment):
        self._in_place, self._alignment = in_place, alignment
        self.values: dict[Value, None] = {}
        self.moments: list[set[Value]] = []  # what is needed while each step runs
        self.apart: dict[Value, set[Value]] = defaultdict(set)
        self._moves: list[tuple[int, Value, Value]] = []
        self._roots: dict[Value, Value] = {}

    def root(self, value) -> Value:
        """Returns the Value that stands for those that share memory with this one."""
        while value in self._roots:
            value = self._roots[value]
        return value

    def walk(self, block, live) -> set[Value]:
        """Notes what is needed at one time, from the last step to the first; returns what is needed before it.

        Args:
            block: of steps.
            live: Values that are needed after it.
        """
        live = set(live)
        for step in reversed(block.steps):
            if isinstance(step, If):
                needed = _kept([step.condition])
                live = self.walk(step.then, live) | self.walk(step.otherwise, live)
            else:
                needed = _kept(step.inputs)
                self._run(step, needed, live)
            self.values |= dict.fromkeys(needed)
            live.update(needed)
        return live

    def begin(self, live):
        """Keeps apart what is there before the first step: inputs."""
        for value in live:
            self._keep_apart(value, live)

    def _run(self, step, operands, live):
        """Notes what a step keeps apart; takes its results out of what is needed after it."""
        outputs = step.outputs
        self.values |= dict.fromkeys(outputs)
        self.moments.append(live.union(outputs, operands))
        for output in outputs:
            self._keep_apart(output, live.union(outputs))
        live.difference_update(outputs)
        for operand in operands:
            if self._replaceable(step, operand) and operand not in live:
                self._moves.append((step.name != "COPY", operand, outputs[0]))
            else:
                for output in outputs:
                    self._keep_apart(output, [operand])

    def bytes_of(self, values) -> int:
        """Returns the bytes that some Values take together."""
        apart = {self.root(value): value.size for value in values}
        return sum(_aligned(size, self._alignment) for size in apart.values())

    def _keep_apart(self, one, others):
        for other in others:
            if other is not one:
                self.apart[one].add(other)
                self.apart[other].add(one)

    def _replaceable(self, step, operand):
        if step.name == "COPY":
            return True
        return step.name in self._in_place and step.inputs.count(operand) == 1 and operand.size == step.outputs[0].size

    def share(self):
        """Lets results take the place of operands where nothing needs both; copies first, the largest first."""
        for _, operand, result in sorted(self._moves, key=lambda move: (move[0], -move[2].size)):
            one, other = self.root(operand), self.root(result)
            if one is other:
                continue
            if other in self.apart[one]:
                self._keep_apart(one, [other])
                continue
            self._roots[other] = one
            for neighbour in self.apart.pop(other, set()):
                self.apart[neighbour].discard(other)
                self._keep_apart(one, [neighbour])
        for _, operand, result in self._moves:  # a part of an operand must not be replaced before it is read
            if self.root(operand) is not self.root(result):
                self._keep_apart(self.root(operand), [self.root(result)])


def _kept(operands) -> list[Value]:
    """Returns those of some operands that lie in the block of memory, each once."""
    return [each for each in dict.fromkeys(operands) if isinstance(each, Value) and each.input is None]


def _orders(sizes, apart) -> Iterator[list[Value]]:
    """Yields orders in which to place Values: the largest first, then likewise with sizes changed at random."""
    roots = list(sizes)
    yield sorted(roots, key=lambda root: -sizes[root])
    yield sorted(roots, key=lambda root: -sizes[root] - sum(sizes[other] for other in apart[root] if other in sizes))
    rng = random.Random(0)
    for _ in range(_ORDERS):
        changed = {root: sizes[root] * rng.uniform(0.5, 1.5) for root in roots}
        yield sorted(roots, key=lambda root: -changed[root])


def _place(sizes, apart, order, alignment) -> Memory:
    """Returns a plan that puts each Value, in an order, at the first place that no neighbour takes."""
    offsets: dict[Value, int] = {}
    for root in order:
        taken = sorted((offsets[other], offsets[other] + sizes[other]) for other in apart[root] if other in offsets)
        start = 0
        for first, end in taken:
            if first - start >= sizes[root]:
                break
            start = max(start, _aligned(end, alignment))
        offsets[root] = start
    return Memory(offsets, _aligned(max((offsets[root] + sizes[root] for root in order), default=0), alignment))


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
