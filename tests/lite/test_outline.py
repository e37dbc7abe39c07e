import itertools

import numpy as np
import pytest

from keras_dynamic.lite import Interpreter, flatbuffer, list_operators, outline, verify
from keras_dynamic.lite.branching import decision_scope

NAMES = ["units", "exits", "leaves", "locked", "shared"]
KINDS = pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])


def results(model, images, **how):
    interpreter = Interpreter(model, **how)
    return [interpreter.run(image, raw=True) for image in images]


def selects(model):
    return [row for row in list_operators(model) if row.name in ("SELECT", "SELECT_V2")]


def conditionals(model):
    return [row for row in list_operators(model) if row.name == "IF"]


@KINDS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernels", ["builtin", "auto"])
def test_outlined_equals_select_bit_for_bit(example, name, int8, kernels):
    made = example(name, int8)
    expected = results(made.select, made.images, kernels=kernels)
    got = results(made.outlined, made.images, kernels=kernels)
    for one, other in zip(expected, got, strict=True):
        assert one.keys() == other.keys()
        for output in one:
            np.testing.assert_array_equal(one[output], other[output])
    assert len({tuple(np.ravel(r["logits"])) for r in got}) > len(got) // 2, "the images must not all look alike"


@KINDS
@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs_that_no_decision_asks_for(example, name, int8):
    made = example(name, int8)
    assert selects(made.select)
    assert not selects(made.outlined)
    verify(made.outlined)  # MACs counted over the file equal the table, for every decision and 64 patterns


@KINDS
def test_macs_output_is_what_ran(example, int8):
    for name in ("units", "exits"):
        made = example(name, int8)
        seen = set()
        for result in results(made.outlined, made.images):
            decided = dict(zip(made.decisions, result["decisions"].tolist(), strict=True))
            ran = sum(macs for macs, when in made.cost if all(decided[d] for d in when))
            assert result["macs"].tolist() == [ran]
            seen.add(tuple(decided.values()))
        assert len(seen) > 2, "the images must take several paths"


def test_one_if_per_condition_in_order_of_execution(example):
    units = example("units", False).outlined
    assert [row.branches for row in conditionals(units)] == [
        (f"decision_{k}_then", f"decision_{k}_else") for k in range(3)
    ]
    assert all(len(row.outputs) == 2 for row in conditionals(units))  # features and MACs


def test_nested_decision_lies_inside_the_branch(example):
    rows = conditionals(example("exits", False).outlined)
    assert {(row.subgraph, row.branches[0]) for row in rows} == {
        ("main", "decision_0_then"),
        ("main", "decision_1_then"),
        ("decision_1_then", "decision_2_then"),
    }
    assert len(next(row for row in rows if row.branches[0] == "decision_1_then").outputs) == 3


def test_leaves_share_one_if_and_what_both_sides_read_stays_outside(example):
    rows = list_operators(example("leaves", False).outlined)
    convolutions = [row.subgraph for row in rows if row.name == "CONV_2D"]
    assert convolutions == ["main"] * 2 + ["decision_0_then"] * 3
    (only,) = [row for row in rows if row.name == "IF"]
    assert len(only.outputs) == 2
    assert not [row for row in rows if row.subgraph == "decision_0_else"]  # hands the same tensor through twice


def test_locked_selects_become_ifs_in_order_and_keep_their_guards(example):
    rows = conditionals(example("locked", False).outlined)
    assert {(row.subgraph, row.branches[0]) for row in rows} == {
        ("main", "decision_0_then"),
        ("decision_0_then", "decision_1_then"),
        ("main", "decision_1_then_2"),
        ("main", "decision_1_then_3"),
        ("main", "decision_1_then_4"),
    }


@KINDS
def test_constants_are_shared_and_belong_to_the_branches(example, int8):
    made = example("locked", int8)
    model = flatbuffer.load(made.outlined)
    for graph, operator in ((g, o) for g in model.subgraphs for o in g.operators):
        if flatbuffer.branches(operator):
            assert not any(flatbuffer.is_constant(model, graph.tensors[t]) for t in operator.inputs)
    # Outlining adds names and tables, the materialised zeros of 8 x 8 x 8 elements, and no second copy of any weight.
    zeros = 8 * 8 * 8 * (1 if int8 else 4)
    assert len(made.outlined) < len(made.select) + zeros + 800 * len(model.subgraphs)
    largest = max(len(b.data) for b in model.buffers if b.data is not None)
    contents = [bytes(b.data) for b in model.buffers if b.data is not None and len(b.data) == largest]
    assert len(contents) == len(set(contents))


def test_signature_names_survive(example):
    made = example("exits", True)
    assert list(Interpreter(made.outlined).outputs) == list(Interpreter(made.select).outputs)
    assert set(Interpreter(made.outlined).inputs) == {"image"}


def test_outlining_twice_changes_nothing(example):
    made = example("units", False)
    assert outline(made.outlined) == made.outlined


def test_branches_are_never_shared(example):
    for name, int8 in itertools.product(NAMES, [False, True]):
        used = [branch for row in conditionals(example(name, int8).outlined) for branch in row.branches]
        assert len(used) == len(set(used))


def test_constant_condition_needs_no_if(example, images):
    made = example("units", False)
    model = flatbuffer.load(made.select)
    graph = model.subgraphs[0]
    first = next(o for o in graph.operators if flatbuffer.op_name(model, o).startswith("SELECT"))
    condition = first.inputs[0]
    for always in (True, False):
        graph.tensors[condition].buffer = flatbuffer.add_buffer(model, np.array([always]).tobytes())
        for operator in list(graph.operators):
            if condition in operator.outputs:
                graph.operators.remove(operator)
        fixed = flatbuffer.pack(model)
        outlined = outline(fixed)
        assert len(conditionals(outlined)) == 2
        for one, other in zip(results(fixed, images), results(outlined, images), strict=True):
            assert one["decisions"][0] == always
            np.testing.assert_array_equal(one["logits"], other["logits"])
            np.testing.assert_array_equal(one["macs"], other["macs"])


def test_selects_of_the_users_own_stay(to_tflite, images):
    import tensorflow as tf

    def forward(image):
        return {"y": tf.where(tf.reduce_mean(image, keepdims=True) > 60.0, image * 2.0, image + 1.0)}

    model = to_tflite(forward, images, False)
    assert len(selects(model)) == 1
    assert len(selects(outline(model))) == 1


def test_operand_of_another_rank_is_reshaped(to_tflite, images):
    import tensorflow as tf

    def forward(image):
        with tf.name_scope(decision_scope(0)):
            d = tf.reshape(tf.reduce_mean(image) > 60.0, [1])
        bright = tf.reduce_max(image)  # a scalar, which the select broadcasts to [1]
        return {"y": tf.where(d, bright * 2.0, bright)}

    model = to_tflite(forward, images, False)
    outlined = outline(model)
    assert len(conditionals(outlined)) == 1
    expected = [r["y"] for r in results(model, images)]
    np.testing.assert_array_equal(expected, [r["y"] for r in results(outlined, images)])
    assert len({float(image.max() == y[0]) for image, y in zip(images, expected, strict=True)}) == 2


def test_computed_operand_that_broadcasts_is_refused(to_tflite, images):
    import tensorflow as tf

    def forward(image):
        with tf.name_scope(decision_scope(0)):
            d = tf.reshape(tf.reduce_mean(image) > 60.0, [1])
        return {"y": tf.where(d, image, tf.reduce_mean(image, (1, 2), keepdims=True))}

    with pytest.raises(ValueError, match=r"shape of its result \[1, 8, 8, 3\], got \[1, 1, 1, 3\]"):
        outline(to_tflite(forward, images, False))
