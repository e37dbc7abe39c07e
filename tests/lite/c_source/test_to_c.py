"""C of exported files: compiled here, its answers, decisions and MACs are the reference kernels', bit for bit."""

import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from keras import ops

from keras_dynamic import data, deciders, layers, lite, methods, models, transform, zoo
from keras_dynamic.lite import flatbuffer
from tests.layers import grouped
from tests.lite.c_source.compiled import Compiled, alone
from tests.lite.functions import Function

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
OUTPUTS = ("logits", "decisions", "macs")
both = pytest.mark.parametrize("quantize", ["int8", None], ids=["int8", "float32"])


def images(count, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (count, size, size, 3)) * rng.random((count, 1, 1, 1))).astype(np.uint8)


def head():
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]


def equal(content, folder, x, **settings):
    """Holds every output on every image against LiteRT's reference kernels; returns the decisions."""
    own, reference = Compiled(content, folder), lite.Interpreter(content, kernels="reference")
    classifies, seen = lite.read_metadata(content)["task"] == "classes", []
    for image in x:
        found, wanted = own.run(image, **settings), reference.run(image, raw=True, **settings)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert own.label == (int(wanted["logits"].argmax()) if classifies else 0)
        seen.append(wanted.get("decisions"))
    return np.array(seen)


@pytest.fixture(scope="module")
def guarded():
    """Gates of units and of groups, and exits after two of three units."""
    exits = [layers.Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    return grouped.guarded(images(40), 3, exits, [deciders.Confidence()])


@pytest.fixture(scope="module")
def files(guarded):
    """{quantize: .tflite}, in which all decisions are IFs."""
    return {each: lite.export(guarded, each, images(40), OUTPUTS, fold="never") for each in ("int8", None)}


@both
def test_gates_groups_and_exits(files, quantize, tmp_path):
    seen = equal(files[quantize], tmp_path / "c", images(20))
    assert 0.05 < seen.mean() < 0.95


@both
@pytest.mark.ci
@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
def test_groups_as_masks(guarded, quantize, tmp_path):
    seen = equal(lite.export(guarded, quantize, images(40), OUTPUTS), tmp_path / "c", images(20))
    assert 0.05 < seen.mean() < 0.95


@both
def test_thresholds_and_a_budget_that_are_set_at_run_time(guarded, quantize, tmp_path):
    content = lite.export(guarded, quantize, images(40), OUTPUTS, fold="never", thresholds="input", budget="input")
    own, reference = Compiled(content, tmp_path / "c"), lite.Interpreter(content, kernels="reference")
    noted = lite.read_metadata(content)
    for thresholds, budget in ((None, None), ([0.5, 0.6], None), ([np.inf, np.inf], noted["budget"]["least"] * 1.5)):
        given = {} if thresholds is None else {"thresholds": np.clip(thresholds, 0, 1 if quantize else np.inf)}
        units = {} if budget is None else {"budget": np.array([budget // noted["budget"]["unit"]], np.int32)}
        for image in images(8):
            found = own.run(image, **given, **units)
            wanted = reference.run(image, raw=True, thresholds=given.get("thresholds"), budget=budget)
            for name, values in wanted.items():
                np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.ci
@pytest.mark.parametrize("confidence", ["entropy", "label_probability", "margin"])
def test_other_confidences_in_float32(confidence, tmp_path):
    exits = [layers.Exit(head(), "unit1", name="exit1")]
    model = grouped.guarded(images(40), 2, exits, [deciders.Confidence(confidence=confidence)])
    content = lite.export(model, None, outputs=OUTPUTS, fold="never", thresholds="input")
    values = {"entropy": 0.1, "label_probability": 0.6, "margin": 0.5}
    seen = equal(content, tmp_path / "c", images(20), thresholds=[values[confidence]])
    assert 0.05 < seen.mean() < 0.95


@both
@pytest.mark.ci
def test_a_cascade(quantize, tmp_path):
    networks = []
    for number, units in enumerate((1, 2)):
        networks.append(layers.DynamicModel(grouped.chain(units), name=f"network{number}"))
        networks[-1].build((None, 8, 8, 3))
        grouped.enliven(networks[-1].chain, number)
    model = models.cascade(networks)
    model.build((None, 8, 8, 3))
    model.fit_thresholds(images(40), quantiles=[0.5])
    content = lite.export(model, quantize, images(40), OUTPUTS)
    seen = equal(content, tmp_path / "c", images(20))
    assert 0 < seen.mean() < 1
    alone = lite.to_c(lite.export(networks[-1], quantize, images(40)), tmp_path / "alone")
    # The normalised image is made again for the second network, not kept: only the first one's answer is.
    assert lite.to_c(content, tmp_path / "both").arena_bytes <= alone.arena_bytes + (16 if quantize else 32)


def test_channels_scaled_anew_for_a_second_network(tmp_path):
    """The shipped networks normalise by one mean and deviation, which is one convolution in the file."""
    shipped = data.shipped()
    networks = [zoo.load(name) for name in ("resnet8_cifar10_45k", "resnet14_cifar10_45k")]
    model = models.cascade(networks)
    model.fit_thresholds(shipped.x_heldout[:100], quantiles=[0.5])
    both = lite.to_c(lite.export(model, "int8", shipped.x_heldout[:50]), tmp_path / "both").arena_bytes
    alone = lite.to_c(lite.export(networks[-1], "int8", shipped.x_heldout[:50]), tmp_path / "alone").arena_bytes
    assert both <= alone + 64


@pytest.mark.ci
@pytest.mark.parametrize("name", ["gated", "blockdrop", "exits"])
def test_shipped_networks_in_float32(name, tmp_path):
    content = lite.export(zoo.load(f"resnet32_cifar10_{name}"), outputs=OUTPUTS)
    seen = equal(content, tmp_path / "c", data.shipped().x_test[:50])
    assert 0.05 < seen.mean() < 0.95


@both
@pytest.mark.ci
@pytest.mark.parametrize("kind", ["of an LSTM", "of masks"])
def test_policies(kind, quantize, tmp_path):
    keras.utils.set_random_seed(1)
    network = models.resnet_cifar(depth=14, num_classes=3, width=8)
    if kind == "of an LSTM":
        model = methods.BlockDrop(network.chain, deciders.Policy(models.policy_recurrent(6, hidden=8), seed=0))
    else:
        model = methods.SGAD(network.chain, deciders.BinaryMaskNetwork(seed=0))
    model.build((None, 32, 32, 3))
    grouped.enliven(model.decider, 1)
    x = images(24, 32)
    equal(lite.export(model, quantize, x, OUTPUTS), tmp_path / "c", x[:8])


@both
@pytest.mark.ci
def test_dense_units_by_an_lstm_and_small_cnns(quantize, tmp_path):
    keras.utils.set_random_seed(0)
    network = models.densenet_bc(16, 4, num_classes=3)
    network.build((None, 32, 32, 3))
    gates = [deciders.RecurrentGates(), deciders.ChannelCNNGates(filters=4, bottleneck=4)]
    model = layers.DynamicModel(transform.group_channels(network, 4).chain, deciders.CombinedDecider(gates))
    model.build((None, 32, 32, 3))
    x = images(24, 32)
    equal(lite.export(model, quantize, x, OUTPUTS, fold="never"), tmp_path / "c", x[:6])


def test_bytes_as_input(guarded, tmp_path):
    model = layers.DynamicModel(guarded.chain, name="static")
    model.build((None, 8, 8, 3))
    content = lite.export(model, "int8", images(40), input_type="uint8", normalization=(0, 1))
    equal(content, tmp_path / "c", images(10))


@both
@pytest.mark.ci
@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.MaxPooling2D(3, 2, "same"),
        keras.layers.AveragePooling2D(3, 1, "same"),
        keras.layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, activation="relu6"),
        keras.layers.Conv2D(5, (3, 2), (2, 1), "same", activation="relu"),
        keras.layers.Conv2D(5, 3, dilation_rate=2),
        keras.layers.ZeroPadding2D(((1, 0), (2, 1))),
        keras.layers.Cropping2D(((1, 2), (0, 3))),
        keras.layers.Permute((2, 1, 3)),
        keras.layers.Activation("hard_swish"),
        keras.layers.LeakyReLU(0.2),
        keras.layers.Softmax(),
    ],
    ids=lambda layer: layer.name,
)
def test_every_operator_of_a_plain_layer(layer, quantize, tmp_path):
    keras.utils.set_random_seed(0)
    stem = [
        keras.layers.Rescaling(1 / 100, -1),
        keras.layers.Conv2D(4, 3, padding="same"),
        type(layer).from_config(layer.get_config()),
    ]
    model = layers.DynamicModel(layers.Chain(stem, [], [keras.layers.Flatten(), keras.layers.Dense(3)]))
    model.build((None, 8, 8, 3))
    each_operator(lite.export(model, quantize, images(40)), tmp_path)


def drawn(rng, port):
    """Returns random numbers of an input's type."""
    if port.dtype == np.int8:
        return rng.integers(-128, 128, port.shape).astype(np.int8)
    return rng.normal(0, 10, port.shape).astype(np.float32)


def each_operator(content, folder):
    """Holds a file against the reference on images, and each of its operators on numbers that images do not lead to."""
    equal(content, folder / "c", images(6))
    parsed = flatbuffer.load(content)
    rng, graph = np.random.default_rng(0), parsed.subgraphs[0]
    for place, operator in enumerate(graph.operators):
        if any(flatbuffer.type_name(graph.tensors[t]) not in ("INT8", "FLOAT32") for t in operator.outputs):
            continue
        single = alone(parsed, graph, place)
        if single is None:
            continue
        own = Compiled(single, folder / f"alone{place}")
        names = [port.name for port in own.inputs], [port.name for port in own.outputs]
        renamed = lite.write_signature(single, ["image", "other"][: len(own.inputs)], names[1])
        reference = lite.Interpreter(renamed, kernels="reference")
        for _ in range(3):
            given = [drawn(rng, port) for port in own.inputs]
            reference.feed(dict(zip(("image", "other"), given, strict=False)))
            reference.invoke()
            found = own.run(given[0], **dict(zip(names[0][1:], given[1:], strict=True)))
            for name, values in reference.results(raw=True).items():
                np.testing.assert_array_equal(found[name], values, err_msg=flatbuffer.op_name(parsed, operator))


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")
@both
def test_clang_has_no_warning_and_gives_the_same(files, quantize, tmp_path):
    one, other = Compiled(files[quantize], tmp_path / "gcc"), Compiled(files[quantize], tmp_path / "clang", "clang")
    for image in images(10):
        found, wanted = other.run(image), one.run(image)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


@both
def test_what_the_folder_holds_and_the_example_says(files, quantize, tmp_path):
    content = files[quantize]
    written = lite.to_c(content, tmp_path / "made", name="toy")
    assert {path.name for path in written.folder.iterdir()} == {
        "src", "examples", "Makefile", "CMakeLists.txt", "library.properties", "README.md"
    }  # fmt: skip
    text = "".join(path.read_text() for path in written.folder.rglob("*") if path.is_file())
    assert not re.search("@[A-Z_]+@|{%|{{ ", text)
    assert f"TOY_ARENA_BYTES {written.arena_bytes}" in text
    reference = lite.Interpreter(content, kernels="reference")
    port, image = reference.inputs["image"], images(1)[0]
    (tmp_path / "image.bin").write_bytes(lite.encode_image(image, port).tobytes())
    careful = "CFLAGS=-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    subprocess.run(["make", "-C", str(written.folder), careful], check=True, capture_output=True)
    said = subprocess.run(
        [str(written.folder / "classify"), str(tmp_path / "image.bin")], check=True, capture_output=True, text=True
    ).stdout
    size = (tmp_path / "image.bin").stat().st_size
    assert size == (192 if quantize else 768)
    wrong = {"cannot be opened": None, f"file of {size} bytes: input": b"short", f"{size} bytes:": bytes(size + 1)}
    for words, held in wrong.items():
        other = tmp_path / "other.bin"
        if held is not None:
            other.write_bytes(held)
        command = [str(written.folder / "classify"), str(other)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 1
        assert words in done.stderr
    assert subprocess.run([str(written.folder / "classify")], check=False, capture_output=True).returncode == 1
    wanted = reference.run(image, raw=True)
    logits = " ".join(f"{value:.9g}" for value in wanted["logits"].ravel())
    path = "".join(map(str, wanted["decisions"].ravel()))
    macs = int(wanted["macs"].item()) * lite.read_metadata(content)["macs_unit"]
    assert said.strip().endswith(f"class {wanted['logits'].argmax()} logits {logits} path {path} MACs {macs}")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))), reason="no compiler for Arm, or no emulator"
)
@pytest.mark.parametrize("machine", ["m3", "m4", "m55"])
def test_float32_on_emulated_machines(machine, files, tmp_path):
    folder = lite.to_c(files[None], tmp_path / "made").folder
    reference = lite.Interpreter(files[None], kernels="reference")
    for place, image in enumerate(images(3)):
        (folder / f"{place}.bin").write_bytes(lite.encode_image(image, reference.inputs["image"]).tobytes())
    command = ["make", "-C", str(folder), f"run-{machine}", "IMAGES=0.bin 1.bin 2.bin"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "warning" not in done.stderr
    for place, image in enumerate(images(3)):
        wanted = reference.run(image, raw=True)
        logits = " ".join(f"{value:.9g}" for value in wanted["logits"].ravel())
        path = "".join(map(str, wanted["decisions"].ravel()))
        assert re.search(rf"^{place}\.bin class \d logits {re.escape(logits)} path {path} ", done.stdout, re.MULTILINE)


def test_other_flags_build_anew(files, tmp_path):
    folder = lite.to_c(files["int8"], tmp_path / "made").folder

    def built(*flags):
        subprocess.run(["make", "-C", str(folder), *flags], check=True, capture_output=True)
        return (folder / "classify").stat().st_mtime_ns

    first = built("CFLAGS=-O0")
    assert built("CFLAGS=-O0") == first
    assert built("CFLAGS=-O1") > first
    done = subprocess.run(
        ["make", "-C", str(folder), "CMSIS_NN=somewhere"], check=False, capture_output=True, text=True
    )
    assert "give both CMSIS_NN and CMSIS_NN_LIB, or neither" in done.stderr


def test_what_cannot_be(guarded, files, tmp_path):
    with pytest.raises(ValueError, match="to_c takes int8 and float32 files, got one with quantize='float16'"):
        lite.to_c(lite.export(guarded, "float16", fold="never"), tmp_path / "c")
    content = files["int8"]
    with pytest.raises(ValueError, match="is of FLOAT32, read by QUANTIZE, for which there is no kernel in C"):
        lite.to_c(lite.float_io(content), tmp_path / "c")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match=r"folder must be new or empty, got .*full"):
        lite.to_c(content, tmp_path / "full")
    with pytest.raises(ValueError, match="name must be of lower case letters"):
        lite.to_c(content, tmp_path / "c", name="My Model")
    for name in ("string", "classify", "kd_reduce", "short"):
        with pytest.raises(ValueError, match="none that C, the kernels or the Makefile have"):
            lite.to_c(content, tmp_path / "c", name=name)
    with pytest.raises(ValueError, match=r"an output 'logits', got the outputs \['macs'\]"):
        lite.to_c(lite.with_outputs(content, ["macs"]), tmp_path / "c")
    with pytest.raises(ValueError, match="metadata"):
        lite.to_c(flatbuffer.edited(content, lambda model: model.metadata.clear()), tmp_path / "c")

    def unknown(model):
        operator = next(each for each in model.subgraphs[0].operators if flatbuffer.op_name(model, each) == "CONV_2D")
        operator.opcodeIndex = flatbuffer.op_code(model, "DYNAMIC_UPDATE_SLICE")

    with pytest.raises(ValueError, match=r"operator DYNAMIC_UPDATE_SLICE of .* has no kernel in C, expected one of"):
        lite.to_c(flatbuffer.edited(content, unknown), tmp_path / "c")

    def of_int8(model):
        graph = model.subgraphs[0]
        operator = next(each for each in graph.operators if flatbuffer.op_name(model, each) == "CONV_2D")
        weights = graph.tensors[operator.inputs[1]]
        weights.type = flatbuffer.schema().TensorType.INT8
        model.buffers[weights.buffer].data = model.buffers[weights.buffer].data[: np.prod(weights.shape)]

    with pytest.raises(ValueError, match=r"has weights of int8_t for inputs of float, for which there is no kernel"):
        lite.to_c(flatbuffer.edited(files[None], of_int8), tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]  # nothing is left half-written


OPERATORS = {
    "difference": lambda x: x[:, 1:] - x[:, :-1],
    "product by channel": lambda x: x * ops.mean(x, (1, 2), keepdims=True),
    "maximum and minimum": lambda x: ops.maximum(x[:, 1:], 0.3) + ops.minimum(x[:, :-1], x[:, 1:]),
    "largest of channels": lambda x: x + ops.max(x, -1, keepdims=True),
    "mean of rows": lambda x: ops.mean(x, 1),
    "concatenated rows": lambda x: ops.concatenate([x[:, 2:4], ops.relu(x), x[:, :1]], 1),
    "split and stacked": lambda x: ops.stack(ops.split(x, 2, -1), 1),
    "strided": lambda x: x[:, ::2, 1::3, 1],
    "last": lambda x: x[:, -2, :-1],
    "taken": lambda x: ops.take(x, np.array([3, 0, 1, 3], "int32"), axis=2),
    "rows of softmax": lambda x: ops.softmax(x * 3, axis=-1),
    "sigmoid": lambda x: ops.sigmoid(x) * ops.tanh(x),
    "absolute and exponential": lambda x: ops.exp(1 - ops.abs(x)),
}


@both
@pytest.mark.ci
@pytest.mark.parametrize("function", OPERATORS.values(), ids=OPERATORS)
def test_every_operator_of_a_function(function, quantize, tmp_path):
    keras.utils.set_random_seed(0)
    stem = [keras.layers.Rescaling(1 / 100, -1), keras.layers.Conv2D(4, 3, padding="same"), Function(function)]
    model = layers.DynamicModel(layers.Chain(stem, [], [keras.layers.Flatten(), keras.layers.Dense(3)]))
    model.build((None, 8, 8, 3))
    each_operator(lite.export(model, quantize, images(40)), tmp_path)


def test_halves_in_dense_layers(tmp_path):
    """With scales that are powers of two, x / 2 is rounded away from zero."""
    model = layers.DynamicModel(
        layers.Chain(
            keras.layers.Rescaling(1.0), [], [keras.layers.Flatten(), keras.layers.Dense(2, bias_initializer="ones")]
        )
    )
    model.build((None, 1, 4, 1))
    parsed = flatbuffer.load(lite.export(model, "int8", np.random.default_rng(0).normal(size=(50, 1, 4, 1))))
    names = [flatbuffer.op_name(parsed, each) for each in parsed.subgraphs[0].operators]
    part = flatbuffer.load(alone(parsed, parsed.subgraphs[0], names.index("FULLY_CONNECTED")))
    graph = part.subgraphs[0]
    x, weights, bias, y = (graph.tensors[t] for t in (*graph.operators[0].inputs, *graph.outputs))
    for tensor, scale in ((x, 0.5), (weights, 0.5), (bias, 0.25), (y, 0.5)):
        tensor.quantization.scale = np.full(len(tensor.quantization.scale), scale, np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(tensor.quantization.zeroPoint), np.int64)
    for tensor, values in ((weights, np.eye(2, 4, dtype=np.int8)), (bias, np.zeros(2, np.int32))):
        part.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    content = flatbuffer.pack(part)
    own, reference = Compiled(content, tmp_path / "c"), lite.Interpreter(content, kernels="reference")
    for number in (-5, -3, -2, -1, 0, 1, 2, 3, 5):
        given = np.array([[number, -number, 0, 0]], np.int8)
        reference.feed({"image": given})
        reference.invoke()
        np.testing.assert_array_equal(own.run(given)["logits"], reference.results(raw=True)["logits"])


@pytest.mark.parametrize(("logits", "task"), [(1, "classes"), (3, "classes"), (3, "labels"), (2, "values")])
def test_what_is_returned_of_each_task(logits, task, tmp_path):
    stem = [keras.layers.Rescaling(1 / 100, -1), keras.layers.Conv2D(4, 3)]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(logits)]
    keras.utils.set_random_seed(0)
    model = layers.DynamicModel(layers.Chain(stem, [], head), task=task)
    model.build((None, 8, 8, 3))
    model.chain.head.layers[-1].bias.assign(-np.mean(model(images(20)), axis=0))
    content = lite.export(model, "int8", images(40))
    own, reference = Compiled(content, tmp_path / "c"), lite.Interpreter(content, kernels="reference")
    seen = set()
    for image in images(20):
        found, wanted = own.run(image), reference.run(image)["logits"].ravel()
        np.testing.assert_array_equal(found["logits"], reference.run(image, raw=True)["logits"])
        label = int(wanted[0] > 0) if logits == 1 else int(wanted.argmax())
        assert own.label == (label if task == "classes" else 0)
        seen.add(own.label)
    assert len(seen) > 1 or task != "classes"
