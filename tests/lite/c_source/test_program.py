"""A plan of memory, held against runs that note whose bytes are whose."""

import itertools

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source.program import If, Value, plan_memory, program_of
from tests.layers import grouped


def replay(program, memory, choose):
    """Runs the steps, writing to each byte whose it is; fails where a step reads bytes that are another Value's."""
    owners = np.full(memory.size, -1)
    numbers = {value: k for k, value in enumerate(memory.offsets)}

    def place(value):
        return slice(memory.offsets[value], memory.offsets[value] + value.size)

    def read(value):
        if isinstance(value, Value) and value.input is None:
            assert (owners[place(value)] == numbers[value]).all(), f"{value.tensor.name} was written over"

    def run(block):
        for step in block.steps:
            if isinstance(step, If):
                read(step.condition)
                run(step.then if choose() else step.otherwise)
                continue
            for operand in step.inputs:
                read(operand)
            for result in step.outputs:
                for operand in (each for each in step.inputs if isinstance(each, Value) and each.input is None):
                    both = set(range(*place(result).indices(memory.size))) & set(
                        range(*place(operand).indices(memory.size))
                    )
                    assert not both or place(result) == place(operand), "a result lies over a part of its operand"
                owners[place(result)] = numbers[result]

    run(program.main)
    for output in program.outputs:
        read(output)


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
def test_no_step_reads_what_another_has_written_over(gated, arguments):
    content = lite.export(gated, "int8", images(40), ("logits", "decisions", "macs"), fold="never", **arguments)
    program = program_of(flatbuffer.load(content))
    memory = plan_memory(program)
    rng = np.random.default_rng(0)
    for choose in (lambda: True, lambda: False, *itertools.repeat(lambda: rng.random() < 0.5, 30)):
        replay(program, memory, choose)


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
