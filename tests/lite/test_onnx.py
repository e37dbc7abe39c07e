"""Files as ONNX: LiteRT's answers, decisions and MACs on ONNX Runtime, which computes nothing of a branch not taken."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_dynamic import data, deciders, layers, lite, models, transform, zoo
from keras_dynamic.lite import flatbuffer
from tests.layers import grouped
from tests.lite.functions import Function

onnxruntime = pytest.importorskip("onnxruntime")
OUTPUTS = ("logits", "decisions", "macs")


def images(count, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def session(content, **options):
    given = onnxruntime.SessionOptions()
    given.intra_op_num_threads = 1
    for name, value in options.items():
        setattr(given, name, value)
    return onnxruntime.InferenceSession(lite.to_onnx(content), given, providers=["CPUExecutionProvider"])


def run(runner, image, **others):
    feed = {"image": np.asarray(image, np.float32)[None], **others}
    names = [port.name for port in runner.get_outputs()]
    return dict(zip(names, runner.run(names, feed), strict=True))


def equal(content, x, **others):
    """Holds every output on every image against LiteRT's; returns the decisions."""
    runner, reference = session(content), lite.Interpreter(content)
    seen = []
    for image in x:
        found, wanted = run(runner, image, **others), reference.run(image, **others)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4 if name == "logits" else 0, err_msg=name)
        seen.append(wanted.get("decisions"))
    return np.array(seen)


@pytest.fixture(scope="module")
def guarded():
    """Gates of units and of groups, and exits after two of three units."""
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    exits = [
        layers.Exit([type(each).from_config(each.get_config()) for each in head], f"unit{k}", name=f"exit{k}")
        for k in (1, 2)
    ]
    return grouped.guarded(images(40), 3, exits, [deciders.Confidence()])


@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
@pytest.mark.parametrize("fold", ["auto", "never"])
def test_gates_groups_and_exits(guarded, fold):
    seen = equal(lite.export(guarded, outputs=OUTPUTS, fold=fold), images(20))
    assert 0.05 < seen.mean() < 0.95


def test_thresholds_and_a_budget_as_inputs(guarded):
    content = lite.export(guarded, outputs=OUTPUTS, fold="never", thresholds="input", budget="input")
    noted = lite.read_metadata(content)
    budget = noted["budget"]["least"] * 1.5
    runner, reference = session(content), lite.Interpreter(content)
    for image in images(8):
        wanted = reference.run(image, thresholds=[0.6, 0.5], budget=budget)
        given = np.int32([budget // noted["budget"]["unit"]]).reshape(reference.inputs["budget"].shape)
        found = run(runner, image, thresholds=np.float32([0.6, 0.5]), budget=given)
        np.testing.assert_array_equal(found["decisions"], wanted["decisions"])
    kept = runner.get_modelmeta().custom_metadata_map["keras_dynamic"]
    assert json.loads(kept) == noted


def test_what_is_skipped_is_not_computed(tmp_path):
    """ONNX Runtime's profile of one easy image and one hard one names the convolutions that it ran."""
    model = models.cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet14_cifar10_45k")])
    model.fit_thresholds(data.shipped().x_heldout[:50], quantiles=[0.5])
    content, counts = lite.export(model, outputs=("logits",), thresholds="input"), {}
    for name, threshold in (("easy", 0.0), ("hard", np.inf)):
        runner = session(content, enable_profiling=True, profile_file_prefix=str(tmp_path / name))
        run(runner, data.shipped().x_test[0], thresholds=np.float32([threshold]))
        with open(runner.end_profiling()) as file:
            events = json.load(file)
        ran = [event.get("args", {}).get("op_name", "") for event in events if event["name"].endswith("_kernel_time")]
        counts[name] = sum("Conv" in kind for kind in ran)
    assert 7 <= counts["easy"] < counts["hard"] / 2


@pytest.mark.ci
@pytest.mark.parametrize("name", ["resnet32_cifar10_gated", "resnet32_cifar10_exits", "resnet32_cifar10_blockdrop"])
def test_shipped_networks(name):
    seen = equal(lite.export(zoo.load(name), outputs=OUTPUTS), data.shipped().x_test[:30])
    assert 0 < seen.mean() < 1


@pytest.mark.ci
def test_dense_units_by_an_lstm_and_small_cnns():
    keras.utils.set_random_seed(0)
    network = models.densenet_bc(16, 4, num_classes=3)
    network.build((None, 32, 32, 3))
    gates = [deciders.RecurrentGates(), deciders.ChannelCNNGates(filters=4, bottleneck=4)]
    model = layers.DynamicModel(transform.group_channels(network, 4).chain, deciders.CombinedDecider(gates))
    model.build((None, 32, 32, 3))
    equal(lite.export(model, outputs=OUTPUTS, fold="never"), images(6, 32))


def layer(kind, *arguments, **named):
    return lambda: getattr(keras.layers, kind)(*arguments, **named)


def function(of):
    return lambda: Function(of)


OPERATORS = {
    "max pooling": layer("MaxPooling2D", 3, 2, "same"),
    "average pooling": layer("AveragePooling2D", 3, 1, "same"),
    "depthwise": layer("DepthwiseConv2D", 3, 2, "same", depth_multiplier=2, activation="relu6"),
    "strides of two kinds": layer("Conv2D", 5, (3, 2), (2, 1), "same", activation="relu"),
    "dilated": layer("Conv2D", 5, 3, dilation_rate=2),
    "groups": layer("Conv2D", 6, 3, groups=2),
    "padded": layer("ZeroPadding2D", ((1, 0), (2, 1))),
    "permuted": layer("Permute", (2, 1, 3)),
    "hard swish": layer("Activation", "hard_swish"),
    "leaky": layer("LeakyReLU", 0.2),
    "prelu": layer("PReLU", shared_axes=(1, 2)),
    "softmax": layer("Softmax"),
    "layer normalisation": layer("LayerNormalization"),
    "difference": function(lambda x: x[:, 1:] - x[:, :-1]),
    "backwards": function(lambda x: x[:, ::-1, 5:1:-2]),
    "last": function(lambda x: x[:, -2, :-1]),
    "split and stacked": function(lambda x: ops.stack(ops.split(x, 2, -1), 1)),
    "taken": function(lambda x: ops.take(x, np.array([3, 0, 1, 3], "int32"), axis=2)),
    "means": function(lambda x: ops.mean(x, 1) + ops.max(x, 2) - ops.min(x, (1,)) + ops.sum(x, 1)),
    "chosen": function(lambda x: ops.where(ops.logical_or(x > 0.3, x < -0.3), x, ops.abs(x) + 1)),
    "tiled": function(lambda x: ops.tile(x, (1, 2, 1, 1))),
    "roots": function(lambda x: ops.sqrt(ops.abs(x) + 1) / (1 + ops.exp(-x)) + ops.rsqrt(ops.abs(x) + 1) + ops.tanh(x)),
}  # fmt: skip


@pytest.mark.ci
@pytest.mark.parametrize("made", OPERATORS.values(), ids=OPERATORS)
def test_every_operator(made):
    keras.utils.set_random_seed(0)
    stem = [keras.layers.Rescaling(1 / 100, -1), keras.layers.Conv2D(4, 3, padding="same"), made()]
    model = layers.DynamicModel(layers.Chain(stem, [], [keras.layers.Flatten(), keras.layers.Dense(3)]))
    model.build((None, 8, 8, 3))
    equal(lite.export(model), images(6))


def test_what_cannot_be(guarded):
    content = lite.export(guarded, "int8", images(40), fold="never")
    with pytest.raises(ValueError, match="to_onnx takes float32 files, got one with quantize='int8'"):
        lite.to_onnx(content)
    with pytest.raises(ValueError, match="metadata"):
        lite.to_onnx(flatbuffer.edited(lite.export(guarded, fold="never"), lambda model: model.metadata.clear()))

    def unknown(model):
        operator = next(each for each in model.subgraphs[0].operators if flatbuffer.op_name(model, each) == "CONV_2D")
        operator.opcodeIndex = flatbuffer.op_code(model, "DYNAMIC_UPDATE_SLICE")

    with pytest.raises(ValueError, match="to_onnx has no counterpart of operator DYNAMIC_UPDATE_SLICE, which makes"):
        lite.to_onnx(flatbuffer.edited(lite.export(guarded, fold="never"), unknown))
