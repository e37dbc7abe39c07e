"""What a runtime would crash on is refused as the file is read, and what is whole is not."""

import copy

import numpy as np
import pytest

from keras_dynamic import lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import op_name
from keras_dynamic.lite.operator_shapes import shape_fault


def first(model, name):
    return next(
        (graph, operator)
        for graph in model.subgraphs
        for operator in graph.operators
        if op_name(model, operator) == name
    )


def leave_out_an_operand(model):
    first(model, "CONV_2D")[1].inputs[1] = -1


def forget_an_operand(model):
    first(model, "ADD")[1].inputs.pop()


def no_stride(model):
    first(model, "CONV_2D")[1].builtinOptions.strideH = 0


def other_options(model):
    first(model, "CONV_2D")[1].builtinOptionsType = flatbuffer.schema().BuiltinOptions.AddOptions


def no_options(model):
    operator = first(model, "CONV_2D")[1]
    operator.builtinOptionsType, operator.builtinOptions = 0, None


def short_weights(model):
    graph, operator = first(model, "CONV_2D")
    buffer = model.buffers[graph.tensors[operator.inputs[1]].buffer]
    buffer.data = buffer.data[:-1]


def output_of_nothing(model):
    model.subgraphs[0].outputs[0] = -1


def read_before_it_is_written(model):
    operators = model.subgraphs[0].operators
    operators.insert(0, operators.pop())


def run_itself(model):
    graph = next(graph for graph in model.subgraphs[1:] if graph.operators)
    operator = graph.operators[0]
    operator.builtinOptionsType = flatbuffer.schema().BuiltinOptions.IfOptions
    operator.builtinOptions = flatbuffer.schema().IfOptionsT()
    operator.builtinOptions.thenSubgraphIndex = operator.builtinOptions.elseSubgraphIndex = model.subgraphs.index(graph)


def huge(model):
    model.subgraphs[0].tensors[-1].shape = [2**15, 2**15, 2**15]


def negative(model):
    model.subgraphs[0].tensors[-1].shape = [-2]


def another_shape(model):
    graph, operator = first(model, "CONV_2D")
    tensor = graph.tensors[operator.outputs[0]]
    tensor.shape, tensor.shapeSignature = [1, *tensor.shape], None


def no_scale(model):
    graph, operator = first(model, "CONV_2D")
    graph.tensors[operator.outputs[0]].quantization.scale = [0.0]


def far_zero_point(model):
    graph, operator = first(model, "CONV_2D")
    graph.tensors[operator.outputs[0]].quantization.zeroPoint = [300]


def scales_of_no_axis(model):
    graph, operator = first(model, "CONV_2D")
    graph.tensors[operator.inputs[1]].quantization.quantizedDimension = 7


def signature_of_nothing(model):
    model.signatureDefs[0].outputs[0].tensorIndex = 10_000


DAMAGES = [
    (leave_out_an_operand, r"operator \d+ \(CONV_2D\): its operand 1 is left out"),
    (forget_an_operand, r"\(ADD\): it has 1 operands"),
    (no_stride, r"\(CONV_2D\): its strideH is 0"),
    (other_options, r"\(CONV_2D\): its options are AddOptions, expected Conv2DOptions"),
    (no_options, r"\(CONV_2D\): its options are NONE, expected Conv2DOptions"),
    (short_weights, r"its values take \d+ bytes, its shape \d+"),
    (output_of_nothing, "subgraph 0 has an input or output without a tensor"),
    (read_before_it_is_written, r"operator 0 reads tensor \d+ before anything writes it"),
    (run_itself, "a subgraph runs itself"),
    (huge, r"it takes [\d,]+ bytes"),
    (negative, r"its shape is \[-2\]"),
    (another_shape, r"\(CONV_2D\): its result 0 has shape \[1, 1, 8, 8, 8\], expected \[1, 8, 8, 8\]"),
    (no_scale, "it has a scale that is no positive number"),
    (far_zero_point, "it has a zero point beyond INT8"),
    (scales_of_no_axis, r"it has \d+ scales and shape"),
    (signature_of_nothing, "names tensors that are no inputs or outputs"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_what_a_runtime_would_crash_on_is_refused(example, damage, said):
    model = flatbuffer.load(example("units", True).outlined)
    damage(model)
    content = flatbuffer.pack(model)
    for read in (lite.Interpreter, lite.MicroInterpreter, lite.verify):
        with pytest.raises(ValueError, match=rf"Expected a whole \.tflite, got .* not known here \(.*{said}"):
            read(content)


def options(name, **fields):
    made = getattr(flatbuffer.schema(), f"{name}OptionsT")()
    for key, value in fields.items():
        setattr(made, key, value)
    return made


WINDOW = {"strideW": 2, "strideH": 2, "dilationWFactor": 1, "dilationHFactor": 1}
SAME, VALID = options("Conv2D", padding=0, **WINDOW), options("Conv2D", padding=1, **WINDOW)
KEPT = options("Reducer", keepDims=True)
AXIS = options("Concatenation", axis=-1)


@pytest.mark.parametrize(
    ("name", "given", "inputs", "values", "wanted"),
    [
        ("CONV_2D", SAME, [(1, 9, 8, 3), (4, 3, 3, 3), (4,)], [], (1, 5, 4, 4)),
        ("CONV_2D", VALID, [(1, 9, 8, 3), (4, 3, 3, 3)], [], (1, 4, 3, 4)),
        ("ADD", None, [(1, 4, 4, 3), (3,)], [], (1, 4, 4, 3)),
        ("MEAN", KEPT, [(1, 4, 4, 3), (2,)], [None, np.array([1, 2])], (1, 1, 1, 3)),
        ("CONCATENATION", AXIS, [(1, 4, 3), (1, 4, 5)], [], (1, 4, 8)),
        ("PAD", None, [(1, 4), (2, 2)], [None, np.array([[0, 0], [1, 2]])], (1, 7)),
        ("SLICE", None, [(1, 9), (2,), (2,)], [None, np.array([0, 2]), np.array([1, -1])], (1, 7)),
        ("TRANSPOSE", None, [(1, 2, 3), (3,)], [None, np.array([2, 0, 1])], (3, 1, 2)),
    ],
)
def test_shapes_by_hand(name, given, inputs, values, wanted):
    values = values or [None] * len(inputs)
    assert shape_fault(name, given, inputs, [wanted], values) == ""
    other = (*wanted[:-1], wanted[-1] + 1)
    assert f"result 0 has shape {list(other)}, expected" in shape_fault(name, given, inputs, [other], values)


@pytest.mark.parametrize(
    ("name", "given", "inputs", "values"),
    [
        ("CONV_2D", SAME, [(1, 8, 8, 3), (4, 3, 3, 2)], [None, None]),
        ("CONV_2D", VALID, [(1, 2, 2, 3), (4, 3, 3, 3)], [None, None]),
        ("FULLY_CONNECTED", options("FullyConnected"), [(1, 8), (4, 3)], [None, None]),
        ("ADD", None, [(1, 4), (3,)], [None, None]),
        ("MEAN", KEPT, [(1, 4, 4, 3), (1,)], [None, np.array([4])]),
        ("GATHER", options("Gather", axis=0), [(3, 2), (1,)], [None, np.array([3])]),
        ("SLICE", None, [(9,), (1,), (1,)], [None, np.array([5]), np.array([5])]),
        ("PAD", None, [(4,), (1, 2)], [None, np.array([[-1, 0]])]),
    ],
)
def test_operands_that_do_not_fit(name, given, inputs, values):
    assert "do not fit together" in shape_fault(name, given, inputs, [(1,)], values)


def test_biases_of_any_shape_and_left_out_options_are_no_damage(example):
    def change(model):
        graph, operator = first(model, "CONV_2D")
        bias = graph.tensors[operator.inputs[2]] = copy.deepcopy(graph.tensors[operator.inputs[2]])
        bias.shape = [1, 1, 1, *bias.shape]
        adding = first(model, "ADD")[1]
        adding.builtinOptionsType, adding.builtinOptions = 0, None

    content = example("units", False).outlined
    image = example("units", False).images[0]
    changed = flatbuffer.edited(content, change)
    wanted, found = (lite.Interpreter(each).run(image) for each in (content, changed))
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)


@pytest.mark.parametrize("kind", ["empty constant", "variable"])
def test_files_of_the_converter_are_whole(kind):
    import tensorflow as tf

    class Counting(tf.Module):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable([0.0])

        @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
        def variable(self, x):
            return self.count.assign_add(x) + 1

        @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
        def empty(self, x):
            return tf.reshape(x * 2, []) + tf.reshape(x, [])

    module = Counting()
    function = module.variable if kind == "variable" else module.empty
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    converter.experimental_enable_resource_variables = True
    content = converter.convert()
    names = {each.name for each in lite.list_operators(content)}
    assert {"variable": "CALL_ONCE", "empty constant": "RESHAPE"}[kind] in names
    assert next(iter(lite.Interpreter(content).run([3.0]).values())) == {"variable": 4, "empty constant": 9}[kind]


def test_large_networks_are_no_damage():
    """The sizes of all feature maps together are no memory, which they share."""
    model = flatbuffer.schema().ModelT()
    graph = flatbuffer.schema().SubGraphT()
    model.subgraphs, model.buffers, model.operatorCodes = [graph], [flatbuffer.schema().BufferT()], []
    model.version, model.metadata, model.files = 3, [], {}
    graph.tensors, graph.name = [], "main"
    tensors = [flatbuffer.add_tensor(graph, f"t{k}", [1, 2**14, 2**14], 0) for k in range(9)]
    graph.operators = [flatbuffer.new_operator(model, "RELU", [k], [k + 1]) for k in tensors[:-1]]
    graph.inputs, graph.outputs = [tensors[0]], [tensors[-1]]
    assert len(lite.list_operators(flatbuffer.pack(model))) == 8


def test_what_a_runtime_finds_out_only_as_it_runs(example):
    """The maximum of integers of another scale than the result's."""
    made = example("units", True)
    model = flatbuffer.load(made.outlined)
    graph = model.subgraphs[0]
    kinds = flatbuffer.schema().TensorType
    place = next(k for k, t in enumerate(graph.outputs) if graph.tensors[t].type == kinds.INT8)
    logits = graph.outputs[place]
    tensor = graph.tensors[logits]
    axis = flatbuffer.add_int32(model, graph, "axis", [1])
    graph.operators.append(flatbuffer.new_operator(model, "REDUCE_MAX", [logits, axis], [], "Reducer"))
    graph.operators[-1].builtinOptions.keepDims = True
    maximum = flatbuffer.add_tensor(graph, "maximum", [1, 1], kinds.INT8, copy.deepcopy(tensor.quantization))
    graph.tensors[maximum].quantization.scale = [2 * tensor.quantization.scale[0]]
    graph.operators[-1].outputs = [maximum]
    graph.outputs[place] = model.signatureDefs[0].outputs[place].tensorIndex = maximum
    with pytest.raises(ValueError, match=r"TensorFlow Lite Micro cannot run the model \(.*\); export the model again"):
        lite.MicroInterpreter(flatbuffer.pack(model)).run(made.images[0])
