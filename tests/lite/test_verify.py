import copy

import numpy as np
import pytest

from keras_dynamic.lite import flatbuffer, outline, read_metadata, verify, write_metadata


def graph_named(model, name):
    return next(graph for graph in model.subgraphs if graph.name == name)


def conditionals(model):
    return [(graph, o) for graph in model.subgraphs for o in graph.operators if flatbuffer.branches(o)]


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("name", ["units", "exits", "leaves", "locked"])
def test_a_sound_model_is_reported(example, name, int8):
    made = example(name, int8)
    found = verify(made.outlined)
    assert found.decisions == made.decisions
    assert found.macs_all_on == sum(macs for macs, _ in made.cost)
    assert found.macs_all_off == sum(macs for macs, when in made.cost if not when)
    assert found.subgraphs == 1 + 2 * found.conditionals
    assert found.conditionals == {"units": 3, "exits": 3, "leaves": 1, "locked": 5}[name]
    assert found.quantize == ("int8" if int8 else None)
    assert found.size_bytes == len(made.outlined)


def test_a_model_that_skips_nothing_is_found_out(example):
    made = example("units", False)
    with pytest.raises(ValueError, match=r"MACs differ under \d+ of 69 patterns.*'one', 'two', 'three'\] off"):
        verify(made.select)


def test_one_mac_too_many_is_found_out(example):
    made = example("exits", True)
    metadata = read_metadata(made.outlined)
    metadata["cost"][3]["macs"] += 1
    wrong = write_metadata(made.outlined, metadata)
    with pytest.raises(ValueError, match=r"MACs differ under .* patterns"):
        verify(wrong)


def test_work_dragged_out_of_a_branch_is_found_out(to_tflite, example, images):
    """A second output that reads inside a branch leaves the results right and the skipping broken."""
    made = example("units", False)
    model = flatbuffer.load(made.select)
    graph = model.subgraphs[0]
    inner = [o for o in graph.operators if flatbuffer.op_name(model, o) == "CONV_2D"][-1].outputs[0]
    graph.outputs.append(inner)
    with pytest.raises(ValueError, match="MACs differ"):
        verify(outline(flatbuffer.pack(model)))


def share_a_branch(model):
    first, second = conditionals(model)[:2]
    second[1].builtinOptions.thenSubgraphIndex = first[1].builtinOptions.thenSubgraphIndex


def leave_a_subgraph_over(model):
    model.subgraphs.append(copy.deepcopy(model.subgraphs[1]))


def make_a_shape_dynamic(model):
    tensor = graph_named(model, "decision_0_then").tensors[-1]
    tensor.shapeSignature = [-1, *tensor.shape[1:]]


def change_a_scale(model):
    branch = graph_named(model, "decision_1_else")
    tensor = next(t for t in (branch.tensors[i] for i in branch.outputs) if flatbuffer.quantization(t)[0])
    tensor.quantization = copy.deepcopy(tensor.quantization)
    tensor.quantization.scale = np.array([0.5], np.float32)


def change_a_type(model):
    branch = graph_named(model, "decision_2_then")
    branch.tensors[branch.inputs[0]].type = flatbuffer.schema().TensorType.INT16


def pass_a_constant(model):
    graph, operator = conditionals(model)[0]
    constant = copy.deepcopy(graph.tensors[operator.inputs[1]])
    constant.buffer = flatbuffer.add_buffer(model, bytes(8 * 8 * 8))
    graph.tensors.append(constant)
    operator.inputs[1] = len(graph.tensors) - 1


def drop_an_operand(model):
    conditionals(model)[1][1].inputs.pop()


def make_a_tensor_float(model):
    model.subgraphs[0].tensors[-1].type = flatbuffer.schema().TensorType.FLOAT32


def make_a_scale_infinite(model):
    rescale(model.subgraphs[0].tensors[-1], 1.3e36)


def compare_large_numbers(model):
    compared = next(o for o in model.subgraphs[0].operators if flatbuffer.op_name(model, o) == "GREATER")
    rescale(model.subgraphs[0].tensors[compared.inputs[0]], 39.2)


def rescale(tensor, scale):
    tensor.quantization = copy.deepcopy(tensor.quantization) or flatbuffer.schema().QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]


DAMAGES = [
    (share_a_branch, r"\('decision_0_then'\) must be used 1 times, is used 2 times"),
    (leave_a_subgraph_over, "must be used 1 times, is used 0 times"),
    (make_a_shape_dynamic, "must have a static shape"),
    (change_a_scale, r"'decision_1_else', outputs: .* scale \(0.5,\)"),
    (change_a_type, r"'decision_2_then', inputs: .* is INT16"),
    (drop_an_operand, r"has \d inputs, its IF \d"),
    (make_a_tensor_float, "is FLOAT32 in an int8 model"),
    (make_a_scale_infinite, r"has scale 1\.3e\+36, which must be over 0 and at most 1e\+06"),
    (compare_large_numbers, r"compared in int8 with scale 39\.2, which must be under 1"),
    (pass_a_constant, "is passed to an IF of 'main'"),
]


def test_a_file_that_was_changed_since_it_was_written(example):
    content = bytearray(example("units", True).outlined)
    verify(bytes(content))
    model = flatbuffer.load(content)
    weights = max((bytes(buffer.data) for buffer in model.buffers if buffer.data is not None), key=len)
    content[bytes(content).index(weights) + len(weights) // 2] ^= 1
    with pytest.raises(ValueError, match="the digest in its metadata is of other bytes; copy the file again"):
        verify(bytes(content))
    verify(flatbuffer.pack(flatbuffer.load(bytes(content))))  # whoever writes it anew says that it is as meant


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_damage_is_named(example, damage, words):
    model = flatbuffer.load(example("units", True).outlined)
    damage(model)
    with pytest.raises(ValueError, match=words):
        verify(flatbuffer.pack(model))


def test_all_damage_is_named_at_once(example):
    model = flatbuffer.load(example("units", True).outlined)
    for damage, _ in DAMAGES[2:]:
        damage(model)
    with pytest.raises(ValueError, match="found") as raised:
        verify(flatbuffer.pack(model))
    for words in ("static shape", "scale (0.5,)", "INT16", "passed to an IF", "inputs, its IF", "in an int8 model"):
        assert words in str(raised.value)


def test_a_constant_that_is_not_a_number_is_found_out(example):
    model = flatbuffer.load(example("units", False).outlined)
    tensor = next(
        t
        for t in model.subgraphs[0].tensors
        if flatbuffer.is_constant(model, t) and flatbuffer.type_name(t) == "FLOAT32"
    )
    tensor.buffer = flatbuffer.add_buffer(model, np.full(flatbuffer.shape(tensor), np.nan, np.float32).tobytes())
    with pytest.raises(ValueError, match="is a constant that holds NaN"):
        verify(flatbuffer.pack(model))


def test_models_that_are_not_ours_are_refused(to_tflite, example, images):
    with pytest.raises(ValueError, match="without; export it"):
        verify(to_tflite(lambda image: {"y": image * 2.0}, images, False))
    with pytest.raises(ValueError, match=r"lacks \['quantize'\]"):
        verify(write_metadata(example("units", False).outlined, {"decisions": [], "cost": []}))
    with pytest.raises(ValueError, match="cut short"):
        verify(example("units", False).outlined[:-100])
    with pytest.raises(ValueError, match=r"Expected a \.tflite"):
        verify(b"PK\x03\x04 a zip file")


def test_a_static_model_passes(to_tflite, images):
    import keras

    layer = keras.layers.Conv2D(4, 3)
    metadata = {"version": 1, "decisions": [], "cost": [{"macs": 36 * 9 * 3 * 4, "when": []}], "quantize": None}
    found = verify(write_metadata(to_tflite(lambda image: {"y": layer(image)}, images, False), metadata))
    assert found.macs_all_on == found.macs_all_off == 36 * 9 * 3 * 4
    assert found.conditionals == 0
