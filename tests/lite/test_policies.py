"""Exported policies: decided as in Keras, the policy once, every unit under one IF."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, data, deciders, lite, methods, models
from keras_dynamic.lite import flatbuffer

pytest.importorskip("tflite_micro")

UNITS = 6
NETWORKS = {
    "resnet": lambda: deciders.Policy(models.policy_resnet(UNITS), seed=0),
    "recurrent": lambda: deciders.Policy(models.policy_recurrent(UNITS, hidden=8), seed=0),
    "sequential": lambda: deciders.SequentialPolicy(seed=0),
    "bmnet": lambda: deciders.BinaryMaskNetwork(seed=0),  # the last unit always runs
}

SPREAD = {"resnet": 1.0, "recurrent": 3.0}  # of the weights: logits that int8 compares, and several paths


@pytest.fixture(scope="module")
def images():
    return data.shipped().x_test[:40]


@pytest.fixture(
    scope="module",
    params=["resnet", pytest.param("recurrent", marks=pytest.mark.ci), "sequential", "bmnet"],
)
def model(request, images):
    """A small network under a policy that runs each unit for half of the images or so."""
    keras.utils.set_random_seed(1)
    network = models.resnet_cifar(depth=2 * UNITS + 2, num_classes=3, width=8)
    method = methods.SGAD if request.param == "bmnet" else methods.BlockDrop
    made = method(network.chain, NETWORKS[request.param]())
    made.build((None, 32, 32, 3))
    rng, units = np.random.default_rng(0), len(made.decision_names)
    for (
        variable
    ) in made.decider.trainable_variables:  # what comes before the logits: [features, units] or [features, 1]
        if len(variable.shape) == 2 and variable.shape[-1] in (1, units):
            variable.assign(rng.normal(0, SPREAD.get(request.param, 1.5), variable.shape))
    for _ in range(units):  # a sequential policy's later inputs depend on its earlier decisions
        found = made.outcome(images).probabilities
        odds = [np.median(np.log(p / (1 - p))) for p in map(_float64, found.values())]
        _shift(made.decider, odds)
    made.decider.set_tau(0.4)
    return made


def _float64(tensor):
    return np.clip(keras.ops.convert_to_numpy(tensor).astype(np.float64), 1e-9, 1 - 1e-9)


def _shift(decider, odds):
    """Takes the median log odds of each unit off its bias; where one bias serves all, their mean."""
    biases = [each for each in decider.trainable_variables if tuple(each.shape) in ((1,), (len(odds),))]
    if len(biases) == 1 and biases[0].shape == (1,):
        odds = [np.mean(odds)]
    values = np.split(np.float32(odds), np.cumsum([each.shape[0] for each in biases])[:-1])
    for variable, value in zip(biases, values, strict=True):
        variable.assign(keras.ops.convert_to_numpy(variable) - value)


def answers(exported, images, interpreter=lite.Interpreter):
    runner = interpreter(exported)
    found = [runner.run(image) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def test_float32_is_as_in_keras(model, images):
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    found, outcome = answers(exported, images), model.outcome(images, training=False)
    decisions = {name: keras.ops.convert_to_numpy(value) for name, value in outcome.decisions.items()}
    np.testing.assert_array_equal(found["decisions"], np.stack(list(decisions.values()), axis=1))
    assert len(np.unique(found["decisions"], axis=0)) > 3
    np.testing.assert_allclose(found["logits"], keras.ops.convert_to_numpy(outcome.logits), atol=1e-4)
    unit = lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(found["macs"] * unit, cost.given(model.cost_tree, decisions))


@pytest.mark.ci
def test_the_policy_runs_once_and_every_unit_under_one_if(model):
    units = len(model.decision_names)
    graph = flatbuffer.load(lite.export(model))
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("IF") == units
    assert len(graph.subgraphs) == 1 + 2 * units
    assert not {"WHILE", "SELECT", "SELECT_V2"} & set(names)


@pytest.mark.ci
def test_int8_runs_on_litert_and_tflm(model, images):
    exported = lite.export(model, "int8", images, outputs=("logits", "decisions"))
    lite.verify(exported)
    found = answers(exported, images[:8])
    expected = {name: keras.ops.convert_to_numpy(v)[:8] for name, v in model.outcome(images).decisions.items()}
    assert np.mean(found["decisions"] != np.stack(list(expected.values()), axis=1)) < 0.25  # medians are cut finely
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported, kernels="builtin")
    same = 0
    for image in images[:8]:
        one, other = micro.run(image, raw=True), litert.run(image, raw=True)
        if np.array_equal(one["decisions"], other["decisions"]):  # one step of int8 may lie between them
            np.testing.assert_allclose(one["logits"].astype(int), other["logits"].astype(int), atol=1)
            same += 1
    assert same >= 6


def test_large_logits_are_compared_in_int8(images):
    """TensorFlow Lite Micro aborts where it compares int8 with a scale of 1 or more."""
    keras.utils.set_random_seed(1)
    model = methods.SGAD(models.resnet_cifar(depth=8, num_classes=3, width=8).chain)
    model.build((None, 32, 32, 3))
    logits = model.decider.network.layers[-1]
    logits.kernel.assign(4000.0 * logits.kernel)
    values = keras.ops.convert_to_numpy(model.decider.network(model.chain.stem(images)))
    assert np.ptp(values) > 1000
    logits.bias.assign(logits.bias - np.median(values, axis=0))
    content = lite.export(model, quantize="int8", calibration=images, outputs=("logits", "decisions"))
    found = answers(content, images[:20], lite.MicroInterpreter)["decisions"]
    assert np.mean(found == answers(content, images[:20])["decisions"]) > 0.9  # one step of int8 may lie between them
    assert len(np.unique(found, axis=0)) > 1
