"""Recurrent policies: cost as arithmetic, chances before training, learning, saving, and the three TFLite readings."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite
from keras_dynamic.deciders import Policy
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import policy_recurrent, policy_resnet, resnet_cifar

UNITS = 12  # TFLite Micro concatenates 10 tensors at most


def images(count, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def logits(policy, batch):
    return keras.ops.convert_to_numpy(policy(batch))


def lively(seed=0):
    """A small policy for 8x8 images with large weights in its LSTM, and a bias that opens half of the units."""
    keras.utils.set_random_seed(seed)
    policy = policy_recurrent(UNITS, trunk=resnet_cifar(8, width=4), hidden=8)
    batch = images(64, 8)
    policy(batch)
    rng, head = np.random.default_rng(seed), policy.chain.head.layers[-1]
    for kernel in (head.look.kernel, head.remember.kernel, head.score.kernel):
        kernel.assign(rng.normal(0, 2.0, kernel.shape))
    head.score.bias.assign([0.0])
    head.score.bias.assign([-np.median(logits(policy, batch))])
    return policy


def test_macs():
    policy = policy_recurrent(54)
    policy.build((None, 32, 32, 3))
    conv = 32 * 32 * 9 * 16 * 16
    trunk = 32 * 32 * 27 * 16 + 2 * conv + 2 * (conv // 2 + conv)  # that of policy_resnet, see test_policy_resnet.py
    lstm = 64 * 256 + 53 * 64 * 256  # the features' part once, the state's from the second step on
    assert cost.tree(policy).total_macs == trunk + lstm + 54 * 64 == 13_127_040
    assert cost.tree(policy).total_parameters == policy.count_params()
    cheaper = policy_resnet(54)
    cheaper.build((None, 32, 32, 3))
    assert cost.tree(cheaper).total_macs < cost.tree(policy).total_macs  # "we found a CNN to be more efficient"


@pytest.mark.parametrize("open_probability", [0.1, 0.5, 0.9])
def test_an_untrained_policy_runs_units_with_about_the_given_probability(open_probability):
    keras.utils.set_random_seed(0)
    found = 1 / (1 + np.exp(-logits(policy_recurrent(15, open_probability=open_probability), images(16))))
    assert found.shape == (16, 15)
    np.testing.assert_allclose(found, open_probability, atol=0.05)
    assert found.std(axis=0).min() > 0  # what the trunk sees comes through


@pytest.mark.ci
def test_it_learns_patterns_that_differ_by_image_and_by_unit():
    """Dark and bright images ask for opposite patterns, neither of which is one value for all units."""
    keras.utils.set_random_seed(0)
    policy = policy_recurrent(5, trunk=resnet_cifar(8, width=4), hidden=16)
    dark = np.random.default_rng(0).integers(0, 100, (32, 8, 8, 3)).astype(np.uint8)
    batch = np.concatenate([dark, dark + 150])
    patterns = np.repeat([[1, 0, 0, 1, 1], [0, 1, 1, 0, 0]], 32, axis=0).astype(np.float32)
    policy.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True))
    policy.fit(batch, patterns, batch_size=16, epochs=30, verbose=0)
    assert ((logits(policy, batch) > 0) == patterns).mean() > 0.98


def test_saving(fresh_process):
    policy, batch = lively(), images(8, 8)
    expected = logits(policy, batch)
    assert expected.std() > 0.1
    found = fresh_process(policy, batch)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found > 0, expected > 0)


@pytest.mark.parametrize("hidden", [0, 1.5])
def test_the_state_has_a_size(hidden):
    with pytest.raises(ValueError, match=f"hidden, the state's size, must be a positive int, got {hidden}"):
        policy_recurrent(15, hidden=hidden)


@pytest.fixture(scope="module")
def batch():
    return images(40, 8, seed=1)


@pytest.fixture
def model(toy_chain):
    made = DynamicModel(toy_chain(units=UNITS), Policy(lively()))
    made.build((None, 8, 8, 3))
    return made


def run(runner, x):
    found = [runner.run(image) for image in x]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def expected_of(model, x):
    outcome = model.outcome(x, training=False)
    decisions = {name: keras.ops.convert_to_numpy(value) for name, value in outcome.decisions.items()}
    stacked = np.stack(list(decisions.values()), axis=1)
    assert 0.2 < stacked.mean() < 0.8
    assert stacked.std(axis=0).max() > 0
    assert len({tuple(row) for row in stacked}) > 2
    return outcome, decisions, stacked


OUTPUTS = ("logits", "decisions", "macs")


@pytest.mark.ci
def test_float32_on_litert_and_micro(model, batch):
    pytest.importorskip("tflite_micro")
    exported = lite.export(model, outputs=OUTPUTS)
    outcome, decisions, stacked = expected_of(model, batch)
    for runner in (lite.Interpreter(exported), lite.MicroInterpreter(exported)):
        found = run(runner, batch)
        np.testing.assert_array_equal(found["decisions"], stacked)
        np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-3)
        macs = found["macs"] * lite.read_metadata(exported)["macs_unit"]
        np.testing.assert_array_equal(macs, cost.given(model.cost_tree, decisions))


@pytest.mark.ci
def test_int8_on_litert_and_micro(model, batch):
    pytest.importorskip("tflite_micro")
    exported = lite.export(model, "int8", images(200, 8, seed=2), outputs=OUTPUTS)
    assert lite.verify(exported).quantize == "int8"
    stacked = expected_of(model, batch)[2]
    litert = run(lite.Interpreter(exported, kernels="builtin"), batch)
    micro = run(lite.MicroInterpreter(exported), batch)
    assert np.mean(litert["decisions"] != stacked) <= 0.1
    assert np.mean(litert["decisions"] != micro["decisions"]) <= 0.02


@pytest.mark.ci
@pytest.mark.parametrize("quantize", [None, pytest.param("int8", marks=pytest.mark.ci)])
def test_there_is_no_loop_in_the_file(model, quantize):
    exported = lite.export(model, quantize, images(50, 8) if quantize else None)
    names = {operator.name for operator in lite.list_operators(exported)}
    assert not names & {"WHILE", "SPLIT", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BATCH_MATMUL", "CALL_ONCE"}
    assert {"FULLY_CONNECTED", "STRIDED_SLICE", "LOGISTIC", "TANH", "MUL", "ADD", "PACK", "IF"} <= names
