"""A gate at each exit: what it computes, decides and costs."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.deciders import ExitGates
from keras_dynamic.layers import DynamicModel, Exit
from keras_dynamic.models import msdnet

UNTRAINED = 0.98


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def model_of(toy_chain, **arguments):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = DynamicModel(toy_chain(units=3, exits=exits), ExitGates(**{"widths": (5, 6), **arguments}))
    model.build((None, 8, 8, 3))
    return model


def set_probability(model, **chances):
    """Makes each gate say one probability of all images."""
    for name, chance in chances.items():
        last = model.decider.gates[name].layers[-1]
        last.kernel.assign(np.zeros(last.kernel.shape))
        last.bias.assign([np.log(chance / (1 - chance))])


def test_a_gate_is_two_convolutions_a_pool_and_a_logit(toy_chain):
    """With kernels that are zero but in their middle, each pixel by itself."""
    model = model_of(toy_chain)
    rng = np.random.default_rng(0)
    gate = model.decider.gates["exit1"]
    convolutions = [layer for layer in gate.layers if isinstance(layer, layers.Conv2D)]
    norms = [layer for layer in gate.layers if isinstance(layer, layers.BatchNormalization)]
    x = rng.normal(size=(3, 8, 8, 4)).astype(np.float32)
    expected = x
    for convolution, norm in zip(convolutions, norms, strict=True):
        kernel = np.zeros(convolution.kernel.shape, np.float32)
        kernel[1, 1] = rng.normal(size=kernel.shape[2:])
        convolution.kernel.assign(kernel)
        norm.beta.assign(rng.normal(size=norm.beta.shape))
        expected = np.maximum(expected @ kernel[1, 1] / np.sqrt(1 + 1e-5) + array(norm.beta), 0)
    pooled = expected.reshape(3, 2, 4, 2, 4, 6).mean(axis=(2, 4)).reshape(3, -1)
    last = gate.layers[-1]
    logits = (pooled @ array(last.kernel))[:, 0] + np.log(UNTRAINED / (1 - UNTRAINED))
    _, found, _ = model.decider.decide_exit("exit1", None, x, ())
    np.testing.assert_allclose(found["exit1"], 1 / (1 + np.exp(-logits)), rtol=1e-4)


@pytest.mark.parametrize(("tau", "going"), [(0.0, (1, 1)), (0.5, (1, 0)), (0.8, (0, 0)), (1.0, (0, 0))])
def test_an_image_goes_on_if_its_probability_is_greater_than_tau(tau, going, toy_chain, toy_images):
    model = model_of(toy_chain, tau=tau)
    set_probability(model, exit1=0.7, exit2=0.3)
    outcome = model.outcome(toy_images(2))
    assert [array(outcome.decisions[name]).tolist() for name in ("exit1", "exit2")] == [[each] * 2 for each in going]
    np.testing.assert_allclose(outcome.probabilities["exit1"], 0.7, rtol=1e-5)


def test_in_training_it_goes_on_with_its_probability(toy_chain, toy_images):
    model = model_of(toy_chain, seed=0)
    set_probability(model, exit1=0.7, exit2=0.3)
    outcome = model.outcome(np.repeat(toy_images(1), 600, axis=0), training=True)
    for name, chance in (("exit1", 0.7), ("exit2", 0.7 * 0.3)):
        going = array(outcome.decisions[name])
        assert set(np.unique(going)) == {0.0, 1.0}
        assert going.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 600))


def test_gates_cost_what_they_compute_and_a_classifier_where_an_image_stops(toy_chain):
    model = model_of(toy_chain)
    gate = 64 * 9 * (4 * 5 + 5 * 6) + 2 * 2 * 6
    stem, unit, classifier = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3
    decisions = {"exit1": np.array([0, 1, 1]), "exit2": np.array([0, 0, 1])}
    before = [stem + (unit + gate) * count for count in (1, 2, 2)]
    wanted = [before[0] + classifier, before[1] + classifier, before[2] + unit + classifier]  # one classifier each
    np.testing.assert_array_equal(cost.given(model.cost_tree, decisions), wanted)


def test_it_reads_the_leaf_that_the_exit_reads(toy_images):
    chain = msdnet(3, blocks=2, step_mode="even", channels=4, growth=2, growth_factors=(1, 2)).chain
    model = DynamicModel(chain, ExitGates((4, 4)))
    model.build((None, 32, 32, 3))
    assert {exit_.leaf for exit_ in chain.exits} != {None}
    for gate in model.decider.gates.values():
        assert gate.layers[-1].kernel.shape == (4 * 4 * 4, 1)  # the coarsest of two scales, 16x16, pooled
    outcome = model.outcome(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)))
    assert list(outcome.decisions) == [exit_.name for exit_ in chain.exits]


def test_at_exits_that_always_names_nobody_stops(toy_chain, toy_images):
    model = model_of(toy_chain, always=["exit1"], tau=1.0)
    assert model.decision_names == ["exit2"]
    outcome = model.outcome(toy_images(2))
    np.testing.assert_array_equal(outcome.logits, outcome.exits["exit2"])


def test_a_saved_model_decides_as_before(toy_chain, toy_images, tmp_path):
    model = model_of(toy_chain, temperature=0.7, tau=0.4, pool=2, seed=1)
    model.decider.set_tau(float(np.median(model.outcome(toy_images(16)).probabilities["exit1"])))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.decider.get_config() == model.decider.get_config()
    outcome = model.outcome(toy_images(16))
    assert 0 < array(outcome.decisions["exit1"]).mean() < 1
    keras.tree.map_structure(np.testing.assert_array_equal, loaded.outcome(toy_images(16)).decisions, outcome.decisions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": ()}, r"widths must be one or more numbers of filters, got \(\)"),
        ({"widths": (8, 0)}, r"widths must be one or more numbers of filters, got \(8, 0\)"),
        ({"pool": 0}, "pool must be a whole number of at least 1, got 0"),
        ({"pool": 16}, r"exit 'exit1' reads \(None, 8, 8, 4\), and its gate pools 16 steps of it each way; .*pool=8"),
        ({"always": ["exit3"]}, r"always names exit 'exit3', which is not there \(did you mean 'exit[12]'\?\)"),
        ({"open_probability": 1.0}, "open_probability must lie strictly between 0 and 1"),
        ({"temperature": 0}, "temperature must be a positive number, got 0"),
        ({"tau": 2}, "tau must be a number between 0 and 1"),
    ],
)
def test_what_cannot_be_is_an_error(arguments, message, toy_chain):
    with pytest.raises(ValueError, match=message):
        model_of(toy_chain, **arguments)


def test_a_chain_without_exits_is_an_error(toy_chain):
    with pytest.raises(ValueError, match=r"ExitGates needs a chain with exits, got one without; give Chain some"):
        DynamicModel(toy_chain(), ExitGates()).build((None, 8, 8, 3))


@pytest.mark.parametrize("told", [0, 1])
def test_gradients_of_decisions_and_probabilities_reach_what_gates_read_unless_detached(told, toy_chain, gradient):
    """Whatever the gates' learning rate of their own."""
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("float32")
    slopes = {}
    for scale, detached in ((1.0, False), (10.0, False), (10.0, True), (0.0, True)):
        keras.utils.set_random_seed(1)
        gates = model_of(toy_chain, seed=0, open_probability=0.5, gradient_scale=scale, detached=detached).decider
        decide = functools.partial(gates.decide_exit, "exit1", None)
        slopes[scale, detached] = gradient(lambda each, decide=decide: decide(each, (), True)[told]["exit1"], x)
    assert np.abs(slopes[1.0, False]).max() > 0
    np.testing.assert_allclose(slopes[10.0, False], slopes[1.0, False], rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(slopes[10.0, True], 0)
    np.testing.assert_array_equal(slopes[0.0, True], 0)


@pytest.mark.parametrize("scale", ["a", None, -1, float("nan")])
def test_a_gradient_scale_that_is_none(scale):
    with pytest.raises(ValueError, match="gradient_scale must be a non-negative number, got"):
        ExitGates(gradient_scale=scale)
