"""What compression refuses, what comes back, and the real thing on shipped networks where its environment is there."""

import gzip

import keras
import numpy as np
import pytest
from keras import layers

import keras_dynamic as kd
from tests.compress.conftest import COMPRESS, needs_environment


@pytest.fixture(scope="module")
def model():
    return kd.zoo.load("resnet8_cifar10_45k")


@pytest.fixture(scope="module")
def images():
    return kd.data.shipped()


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("prune", {"sparsity": 1}, "sparsity must lie strictly between 0 and 1, got 1"),
        ("prune", {"begin": 0.8}, "begin must be smaller than end, got 0.8 and 0.75"),
        ("cluster", {"clusters": 1}, "clusters must be an int of 2 or more, got 1"),
        ("quantize_aware", {"epochs": 0}, "epochs must be an int of 1 or more, got 0"),
        ("quantize_aware", {"seed": -1}, "seed must be an int of 0 or more, got -1"),
        ("cluster", {"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        ("prune", {"verbose": "auto"}, "verbose must be 0, 1 or 2, got 'auto'"),
    ],
)
def test_arguments_out_of_range(model, images, function, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(kd.compress, function)(model, images.x_gates, images.y_gates, **options)


def test_what_cannot_be_trained(model, images, tmp_path):
    x, y = images.x_heldout[:8], images.y_heldout[:8]
    with pytest.raises(ValueError, match="needs labels, got none"):
        kd.compress.prune(model, x)
    with pytest.raises(ValueError, match="the model takes inputs of shape"):
        kd.compress.prune(model, x[:, :16], y)
    with pytest.raises(ValueError, match="takes a built DynamicModel"):
        kd.compress.prune(kd.models.resnet_cifar(8), x, y)
    with pytest.raises(FileNotFoundError, match="compression needs an environment of its own"):
        kd.compress.prune(model, x, y, python=tmp_path / "none")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("ModuleNotFoundError: No module named 'tf_keras'", "lacks packages .*tf_keras.*make setup-compress"),
        ("ValueError: no", "cluster failed in the process of .*: ValueError: no$"),
    ],
)
def test_a_process_that_fails_says_why(model, images, interpreter, error, message):
    python = interpreter(f"print('Traceback', file=sys.stderr)\nsys.exit({error!r})")
    with pytest.raises(RuntimeError, match=message):
        kd.compress.cluster(model, images.x_heldout[:8], images.y_heldout[:8], python=python, verbose=0)


REPLACED = """
import numpy as np
given = dict(np.load(folder / "weights.npz"))
np.savez(folder / "trained.npz", **{{name: {value} for name, weight in given.items()}})
"""


def test_each_network_of_a_cascade_gets_its_weights(images, interpreter):
    networks = [kd.zoo.load("resnet8_cifar10_45k"), kd.models.resnet_cifar(8)]
    networks[1].build((None, 32, 32, 3))
    cascade = kd.models.cascade(networks, temperatures=[1.5, 1.2])
    before = array(networks[1].chain.units[0].body.layers[0].kernel)
    python = interpreter(REPLACED.format(value="weight / 2"))
    x, y = images.x_heldout[:8], images.y_heldout[:8]
    halved = kd.compress.quantize_aware(cascade, x, y, python=python, verbose=0)
    assert isinstance(halved, kd.models.Cascade)
    for old, new in zip(cascade.networks, halved.networks, strict=True):
        for unit, other in zip(old.chain.units, new.chain.units, strict=True):
            for weight, half in zip(unit.weights, other.weights, strict=True):
                np.testing.assert_array_equal(array(weight) / 2, array(half))
    np.testing.assert_array_equal(array(networks[1].chain.units[0].body.layers[0].kernel), before)
    assert float(halved.chain.units[0].temperature) == pytest.approx(1.2)


def test_a_training_that_diverges(model, images, interpreter):
    python = interpreter(REPLACED.format(value="weight + np.inf"))
    with pytest.raises(RuntimeError, match="diverged: weights are not finite; take a smaller learning_rate"):
        kd.compress.prune(model, images.x_heldout[:8], images.y_heldout[:8], python=python, verbose=0)


def kernels(network):
    """The chain's kernels that are compressed: all but the stem's."""
    found = [array(weight) for weight in network.chain.weights if weight.path.endswith("kernel")]
    stem = [array(weight) for weight in network.chain.stem.weights if weight.path.endswith("kernel")]
    return [kernel for kernel in found if not any(np.array_equal(kernel, each) for each in stem)]


@pytest.mark.parametrize("how", [pytest.param(how, marks=needs_environment) for how in ("prune", "cluster")])
def test_smaller_files(model, images, how):
    x, y = images.x_gates[:1500], images.y_gates[:1500]
    settings = {"prune": {"sparsity": 0.6}, "cluster": {"clusters": 16}}[how]
    small = getattr(kd.compress, how)(model, x, y, **settings, epochs=2, python=COMPRESS, verbose=0)
    found = kernels(small)
    assert len(found) == 7
    for kernel in found:
        if how == "prune":
            assert (kernel == 0).mean() == pytest.approx(0.6, abs=0.01)
        else:
            assert 2 <= len(np.unique(kernel)) <= 16
    whole, content = (kd.lite.export(each, "int8", images.x_heldout) for each in (model, small))
    kd.lite.verify(content)
    assert abs(len(content) / len(whole) - 1) < 0.01
    assert len(gzip.compress(content)) < 0.8 * len(gzip.compress(whole))
    assert kd.evaluation.evaluate(small, images.x_test, images.y_test).accuracy > 0.8


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param("resnet8_cifar10_45k", 1500, marks=needs_environment),
        pytest.param("resnet32_cifar10_gated", 300, marks=needs_environment),
    ],
)
def test_int8_aware_training(name, count, images):
    network = kd.zoo.load(name)
    x, y = images.x_gates[:count], images.y_gates[:count]
    trained = kd.compress.quantize_aware(network, x, y, epochs=1, python=COMPRESS, verbose=0)
    assert type(trained) is type(network)
    changed = [(old != new).mean() for old, new in zip(kernels(network), kernels(trained), strict=True)]
    assert np.mean(changed) > 0.7  # a unit that runs for no image learns nothing
    for old, new in zip(network.decider.weights, trained.decider.weights, strict=True):
        np.testing.assert_array_equal(array(old), array(new))
    content = kd.lite.export(trained, "int8", images.x_heldout)
    kd.lite.verify(content)
    run = kd.lite.Interpreter(content).run
    right = [run(image)["logits"].argmax() == label for image, label in zip(images.x_test, images.y_test, strict=True)]
    assert np.mean(right) > 0.8


TASKS = {
    "one_logit": (1, "binary_crossentropy", lambda images: images.mean((1, 2, 3)) > 115),
    "labels": (3, "binary_crossentropy", lambda images: images.mean((1, 2)) > 115),
    "values": (3, "mse", lambda images: images.mean((1, 2)) / 255),
}


@pytest.mark.parametrize("task", [pytest.param(task, marks=needs_environment) for task in TASKS])
def test_other_tasks_than_classes(images, task):
    outputs, loss, labels = TASKS[task]
    keras.utils.set_random_seed(0)
    end = [layers.GlobalAveragePooling2D(), layers.Dense(outputs)]
    plain = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), *end])
    network = kd.layers.DynamicModel(plain)
    network.build((None, 32, 32, 3))
    compiled = keras.losses.BinaryCrossentropy(from_logits=True) if loss.startswith("binary") else loss
    network.compile("sgd", compiled)
    x, y = images.x_gates[:1000], labels(images.x_gates[:1000]).astype("float32")
    trained = kd.compress.cluster(network, x, y, clusters=4, epochs=3, learning_rate=0.05, python=COMPRESS, verbose=0)
    trained.compile("sgd", compiled)
    before, after = (each.evaluate(x, y, verbose=0, return_dict=True)["loss"] for each in (network, trained))
    assert after < 0.9 * before


PREDICTS = """
import shutil
import numpy as np
sys.path.insert(0, str(twin.parent))
import twin as script
order, model = script.loaded(folder)
x, decisions = (np.load(folder / f"{name}.npy") for name in ("x", "decisions"))
answers = model(script.named(x, decisions), training=False)
answers = answers if isinstance(answers, list) else [answers]
np.savez(Path(__file__).with_name("answers.npz"), *answers)
shutil.copy(folder / "weights.npz", folder / "trained.npz")
"""


def of_everything():
    """A functional model with each kind of layer that compression knows."""
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    x = layers.BatchNormalization()(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, activation="silu")(x)
    y = layers.Conv2D(8, 1, groups=2, activation="gelu")(y)
    x = layers.ReLU(negative_slope=0.1)(x + y)
    y = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.Concatenate()([layers.Maximum()([x, y]), layers.Average()([x, y]), layers.Subtract()([x, y])])
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(((1, 2), (2, 1)))(layers.AveragePooling2D(2, padding="same")(x)))
    x = layers.Multiply()([x, layers.Conv2D(24, 1, activation="sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))])
    x = layers.Activation("elu")(layers.Flatten()(layers.Dropout(0.5)(x)))
    x = layers.Dense(12, activation="tanh")(keras.ops.relu(layers.Reshape((4, -1))(x)))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


def with_exits():
    return kd.transform.attach_exits(kd.zoo.load("resnet8_cifar10_45k"), after=["stage1_unit1", "stage2_unit1"])


TWINS = {
    "everything": of_everything,
    "exits": with_exits,
    "gated": lambda: kd.zoo.load("resnet32_cifar10_gated"),
    "dense": lambda: kd.models.densenet_bc(22, 4, 10),
    "mobilenet": lambda: kd.models.mobilenet_v2(0.35, 10),
}


@pytest.mark.parametrize("made", [pytest.param(made, id=name, marks=needs_environment) for name, made in TWINS.items()])
def test_the_twin_answers_alike(made, images, interpreter, tmp_path):
    keras.utils.set_random_seed(0)
    network, x = made(), images.x_test[:32]
    if getattr(network, "image_shape", None) is None and not network.built:
        network.build((None, 32, 32, 3))
    x = x[:, : network.input_shape[1], : network.input_shape[2]]
    y = np.arange(32) % 3
    python = interpreter(PREDICTS, COMPRESS)
    same = kd.compress.prune(network, x, y, python=python, verbose=0)
    outcome = same.outcome(x, training=False)
    with np.load(tmp_path / "answers.npz") as answers:
        found = [answers[name] for name in answers.files]
    wanted = [array(logits) for logits in (*outcome.exits.values(), outcome.logits)]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * max(1, np.abs(other).max()))
