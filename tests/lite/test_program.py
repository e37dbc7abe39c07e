"""A plan of memory, held against runs that note whose bytes are whose."""

import functools
import random

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.program import If, Value, plan_memory, program_of
from tests.layers import grouped


def run_graph(model, choose, index=0, given=None):
    """Returns what a subgraph's outputs are, as words: the operator, its place and what it reads."""
    graph = model.subgraphs[index]
    inputs = given if given is not None else [f"input{k}" for k in range(len(graph.inputs))]
    known = dict(zip(graph.inputs, inputs, strict=True))

    def read(tensor):
        return known.get(tensor, f"constant of {graph.tensors[tensor].buffer}" if tensor >= 0 else "nothing")

    for operator in graph.operators:
        pair = flatbuffer.branches(operator)
        operands = [read(t) for t in operator.inputs]
        if pair:
            side = pair[0] if choose(operands[0]) else pair[1]
            results = run_graph(model, choose, side, operands[1:])
        else:
            name = flatbuffer.op_name(model, operator)
            results = [f"{k} of {name}({', '.join(operands)})" for k in range(len(operator.outputs))]
            results = [str(hash(result)) for result in results]
        known |= dict(zip(operator.outputs, results, strict=True))
    return [read(t) for t in graph.outputs]


def run_program(model, program, memory, choose):
    """Returns the same of a program, whose words lie in memory: each byte has that of the last step that wrote it."""
    held = np.full(memory.size, "", object)
    for number, value in enumerate(program.inputs):
        if value in memory.offsets:
            held[memory.offsets[value] : memory.offsets[value] + value.size] = f"input{number}"

    def place(value):
        return slice(memory.offsets[value], memory.offsets[value] + value.size)

    def read(value):
        if value is None:
            return "nothing"
        if not isinstance(value, Value):
            return f"constant of {value.tensor.buffer}"
        if value.input is not None:
            return f"input{value.input}"
        (word,) = set(held[place(value)])  # else a part was written over
        return word

    def run(block):
        for step in block.steps:
            if isinstance(step, If):
                run(step.then if choose(read(step.condition)) else step.otherwise)
                continue
            operands = [read(operand) for operand in step.inputs]
            for k, result in enumerate(step.outputs):
                for operand in (each for each in step.inputs if isinstance(each, Value) and each.input is None):
                    own, other = place(result), place(operand)
                    apart = own.stop <= other.start or other.stop <= own.start
                    assert apart or own == other, "a result lies over a part of its operand"
                word = operands[0] if step.name == "COPY" else str(hash(f"{k} of {step.name}({', '.join(operands)})"))
                held[place(result)] = word

    run(program.main)
    return [read(output) for output in program.outputs]


@pytest.fixture(params=[False, True], ids=["compiled", "interpreted"])
def alike(request):
    """Holds a program against its graph, its memory planned for C or for an interpreter."""
    return functools.partial(holds, interpreted=request.param)


def holds(content, interpreted, runs=30):
    """Holds a program against its graph under all conditions on, all off, and at random."""
    model = flatbuffer.load(content)
    program = program_of(model, interpreted)
    memory = plan_memory(program, frozenset(), 16) if interpreted else plan_memory(program)
    for number in range(runs + 2):
        rng = random.Random(number)
        decided = {}

        def choose(word, number=number, rng=rng, decided=decided):
            return bool(number) if number < 2 else decided.setdefault(word, rng.random() < 0.5)

        wanted = run_graph(model, choose)
        assert run_program(model, program, memory, choose) == wanted


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def head():
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]


@pytest.fixture(scope="module")
def gated():
    """Gates of units and of groups of channels, and exits."""
    exits = [layers.Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    return grouped.guarded(images(40), 3, exits, [deciders.Confidence()])


@pytest.mark.parametrize("arguments", [{}, {"budget": "input"}], ids=["thresholds", "budget"])
def test_every_step_reads_what_the_graph_does(gated, arguments, alike):
    alike(lite.export(gated, "int8", images(40), ("logits", "decisions", "macs"), fold="never", **arguments))


def test_a_unit_that_skips_to_the_image(spread_gates, alike):
    """Both branches make the result of the IF element by element from the image: it is neither's alone."""
    keras.utils.set_random_seed(0)
    body = [keras.layers.Conv2D(3, 3, padding="same")]
    units = [layers.Residual(body, None, "relu", name="unit1"), keras.layers.Conv2D(4, 3, name="unit2")]
    chain = layers.Chain([keras.layers.Rescaling(1 / 255)], units, head())
    model = layers.DynamicModel(chain, deciders.PerUnitGates(hidden=2))
    model.build((None, 8, 8, 3))
    spread_gates(model, images(40))
    alike(lite.export(model, "int8", images(40), ("logits", "decisions", "macs")))


def test_branches_lie_over_each_other_and_results_in_place(gated):
    """The largest tensors of a unit, its input and those between its convolutions, are all that is ever needed."""
    chain = layers.DynamicModel(gated.chain, name="static")
    chain.build((None, 8, 8, 3))
    sizes = []
    for model in (chain, gated):
        content = lite.export(model, "int8", images(40), ("logits",), fold="never")
        sizes.append(plan_memory(program_of(flatbuffer.load(content))).size)
    static, dynamic = sizes
    # A group that is added needs its sum beside its own two maps.
    assert dynamic <= static + 8 * 8 * grouped.WIDTH + 64
