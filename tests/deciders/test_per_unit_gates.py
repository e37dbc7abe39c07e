"""One gate per unit: thresholds in inference, samples in training."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel, Gate, StaticGate
from keras_dynamic.methods import ActivationGating


def model_of(chain, **arguments):
    model = DynamicModel(chain, PerUnitGates(**arguments))
    model.build((None, 8, 8, 3))
    return model


def set_probability(model, chances):
    """Makes each gate say one probability of all images."""
    for name, chance in chances.items():
        gate = model.decider.gates[name]
        if isinstance(gate, StaticGate):
            gate.logits.assign([0.0, np.log(chance / (1 - chance))])
        else:
            gate.kernel.assign(np.zeros(gate.kernel.shape))
            gate.bias.assign([0.0, np.log(chance / (1 - chance))])


def decided(outcome):
    return {name: keras.ops.convert_to_numpy(value).tolist() for name, value in outcome.decisions.items()}


CHANCES = {"unit1": 0.2, "unit2": 0.6, "unit3": 0.95}


@pytest.mark.parametrize("data_dependent", [True, False])
@pytest.mark.parametrize(
    ("tau", "running"), [(0.0, [1, 1, 1]), (0.3, [0, 1, 1]), (0.5, [0, 1, 1]), (0.8, [0, 0, 1]), (1.0, [0, 0, 0])]
)
def test_a_unit_runs_if_its_probability_is_greater_than_tau(data_dependent, tau, running, toy_chain, toy_images):
    model = model_of(toy_chain(), data_dependent=data_dependent)
    set_probability(model, CHANCES)
    model.decider.set_tau(tau)
    outcome = model.outcome(toy_images(2))
    assert decided(outcome) == {f"unit{k + 1}": [run, run] for k, run in enumerate(running)}
    for name, chance in CHANCES.items():
        np.testing.assert_allclose(outcome.probabilities[name], chance, rtol=1e-5)


def test_tau_may_be_given_at_first(toy_chain, toy_images):
    model = model_of(toy_chain(), tau=0.7)
    set_probability(model, CHANCES)
    assert decided(model.outcome(toy_images(1))) == {"unit1": [0], "unit2": [0], "unit3": [1]}


def test_in_training_a_unit_runs_with_its_probability(toy_chain, toy_images):
    model = model_of(toy_chain(), seed=0)
    set_probability(model, CHANCES)
    outcome = model.outcome(np.repeat(toy_images(1), 600, axis=0), training=True)
    for name, chance in CHANCES.items():
        decisions = keras.ops.convert_to_numpy(outcome.decisions[name])
        assert set(np.unique(decisions)) == {0.0, 1.0}
        assert decisions.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 600))


def test_soft_samples(toy_chain, toy_images):
    model = model_of(toy_chain(), hard=False, temperature=2.0, open_probability=0.5)
    decisions = keras.ops.convert_to_numpy(model.outcome(toy_images(), training=True).decisions["unit1"])
    assert ((decisions > 0) & (decisions < 1)).all()


def test_a_lower_temperature_makes_soft_samples_harder(toy_chain, toy_images):
    spread = []
    for temperature in (5.0, 0.05):
        model = model_of(toy_chain(), hard=False, temperature=temperature, open_probability=0.5, seed=0)
        decisions = keras.ops.convert_to_numpy(model.outcome(toy_images(50), training=True).decisions["unit1"])
        spread.append(np.abs(decisions - 0.5).mean())
    assert spread[0] < 0.2 < 0.4 < spread[1]


def test_seeds_reproduce(toy_chain, toy_images):
    chain = toy_chain()
    models = [model_of(chain, seed=seed, open_probability=0.5, data_dependent=False) for seed in (1, 1, 2)]
    draws = [[decided(model.outcome(toy_images(20), training=True)) for _ in range(2)] for model in models]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0][0] != draws[0][1]


def test_units_that_always_run_have_no_gate(toy_chain, toy_images):
    model = model_of(toy_chain(), always=("unit2",))
    assert model.decision_names == ["unit1", "unit3"] == list(model.outcome(toy_images()).decisions)
    assert list(model.decider.gates) == ["unit1", "unit3"]
    unit, gate, rest = 2 * 64 * 9 * 16, 4 * 16 + 16, 64 * 27 * 4 + 12
    assert model.cost_tree.total_macs == 3 * unit + 2 * gate + rest
    with pytest.raises(
        ValueError, match=r"always names unit 'unit4', which is not there .*decided are \['unit1', 'unit2', 'unit3'\]"
    ):
        model_of(toy_chain(), always=("unit4",))


def test_kinds_of_gates(toy_chain):
    dependent = model_of(toy_chain(), hidden=5)
    assert {type(gate) for gate in dependent.decider.gates.values()} == {Gate}
    assert [gate.hidden for gate in dependent.decider.gates.values()] == [5, 5, 5]
    free = model_of(toy_chain(), data_dependent=False)
    assert {type(gate) for gate in free.decider.gates.values()} == {StaticGate}
    assert free.cost_tree.total_macs == model_of(toy_chain(), hidden=16).cost_tree.total_macs - 3 * (4 * 16 + 16)


@pytest.mark.parametrize("tau", [-0.1, 1.1, float("nan"), None])
def test_tau_outside_its_range_is_an_error(tau, toy_chain):
    with pytest.raises(ValueError, match="tau must be a number between 0 and 1, got"):
        PerUnitGates(tau=tau)
    model = model_of(toy_chain(units=1))
    with pytest.raises(ValueError, match="tau must be a number between 0 and 1, got"):
        model.decider.set_tau(tau)
    assert float(keras.ops.convert_to_numpy(model.decider.tau)) == 0.5


@pytest.mark.parametrize("temperature", [0.0, -1.0, None])
def test_the_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match=f"temperature must be a positive number, got {temperature}"):
        PerUnitGates(temperature=temperature)


def test_the_config_holds_what_is_set_now(toy_chain):
    decider = model_of(toy_chain(), always=["unit1"], seed=4, hard=False, hidden=3).decider
    decider.set_tau(0.25)
    decider.temperature.assign(0.5)
    again = PerUnitGates.from_config(decider.get_config())
    assert again.get_config() == decider.get_config()
    assert (again.get_config()["tau"], again.get_config()["temperature"]) == (0.25, 0.5)


def test_a_changed_tau_is_seen_by_a_compiled_predict(toy_chain, toy_images):
    model = model_of(toy_chain(units=1), data_dependent=False)
    opened = model.predict(toy_images(), verbose=0)
    model.decider.set_tau(1.0)
    closed = model.predict(toy_images(), verbose=0)
    np.testing.assert_allclose(closed, model.outcome(toy_images(), {"unit1": np.zeros(6)}).logits, atol=1e-5)
    assert np.abs(opened - closed).max() > 1e-3


def test_however_sure_a_gate_is_tau_0_opens_it_and_tau_1_closes_it(toy_chain, toy_images):
    model = model_of(toy_chain(units=2), data_dependent=False)
    for gate, logit in zip(model.decider.gates.values(), (-50.0, 50.0), strict=True):
        gate.logits.assign([0.0, logit])
    for tau, runs in ((0.0, 1.0), (1.0, 0.0)):
        model.decider.set_tau(tau)
        assert decided(model.outcome(toy_images(1))) == {"unit1": [runs], "unit2": [runs]}


def test_the_gradient_of_a_sample_is_that_of_the_gate(toy_chain, toy_images, gradient):
    """At a high temperature the soft sample's slope is 1 / (4 temperature), whatever the noise."""
    model = model_of(toy_chain(units=1), temperature=1e4, open_probability=0.5)
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 4)).astype(np.float32)
    through_gate = gradient(lambda x: model.decider.logits(0, x, training=True), x)
    through_decision = gradient(lambda x: model.decider.decide(0, x, (), training=True)[0]["unit1"], x)
    assert np.abs(through_gate).max() > 1e-3
    np.testing.assert_allclose(4e4 * through_decision, through_gate, rtol=1e-3, atol=1e-6)


def test_detached_gates_hand_no_gradient_to_what_they_read(toy_chain, gradient):
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("float32")
    slopes = {}
    for detached in (False, True):
        model = model_of(toy_chain(), seed=0, open_probability=0.5, gradient_scale=10.0, detached=detached)
        slopes[detached] = gradient(lambda each, decide=model.decider.decide: decide(0, each, (), True)[0]["unit1"], x)
    assert np.abs(slopes[False]).max() > 0
    np.testing.assert_array_equal(slopes[True], 0)
    assert model.decider.get_config()["detached"] is True


@pytest.mark.ci
@pytest.mark.parametrize("scale", [10.0, pytest.param(0.0, marks=pytest.mark.ci)])
def test_gradient_scale_is_a_learning_rate_of_the_gates_alone(toy_chain, toy_images, scale):
    """SGD moves the gates' weights `scale` times as far, and what feeds the gates no further than before."""
    images, labels, steps = toy_images(8), np.arange(8) % 3, {}
    for factor in (1.0, scale):
        keras.utils.set_random_seed(1)
        gates = PerUnitGates(seed=0, open_probability=0.5, gradient_scale=factor)
        model = ActivationGating(toy_chain(), gates, target=0.1, activation_weight=5.0)
        model.build((None, 8, 8, 3))
        model.compile(keras.optimizers.SGD(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        parts = {"gate": gates.gates["unit1"].kernel, "stem": model.chain.stem.trainable_variables[0]}
        before = {name: keras.ops.convert_to_numpy(variable) for name, variable in parts.items()}
        model.train_on_batch(images, labels)
        steps[factor] = {name: keras.ops.convert_to_numpy(variable) - before[name] for name, variable in parts.items()}
    assert np.abs(steps[1.0]["gate"]).max() > 1e-6
    assert np.abs(steps[1.0]["stem"]).max() > 1e-6
    np.testing.assert_allclose(steps[scale]["gate"], scale * steps[1.0]["gate"], rtol=1e-2, atol=1e-7)
    if scale:
        np.testing.assert_allclose(steps[scale]["stem"], steps[1.0]["stem"], rtol=1e-2, atol=1e-7)


def test_gradient_scale_leaves_values(toy_chain):
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("float32")
    values = []
    for scale in (1.0, 10.0):
        keras.utils.set_random_seed(1)
        model = model_of(toy_chain(), seed=0, open_probability=0.5, gradient_scale=scale)
        values.append(keras.ops.convert_to_numpy(model.decider.decide(0, x, (), True)[0]["unit1"]))
    np.testing.assert_array_equal(values[0], values[1])
    assert model.decider.get_config()["gradient_scale"] == 10.0


def test_without_noise_training_decides_as_inference_does(toy_chain):
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 4)).astype("float32")
    model = model_of(toy_chain(), open_probability=0.5, noise=False)
    sampled, chances, _ = model.decider.decide(0, x, (), True)
    expected = keras.ops.convert_to_numpy(chances["unit1"]) > 0.5
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(sampled["unit1"]), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize("hidden", [0, -3, 2.5, "16", True])
def test_the_width_of_the_hidden_layer_is_a_positive_int(hidden):
    for kind in (PerUnitGates, Gate):
        with pytest.raises(ValueError, match="hidden must be the width of a hidden layer, a positive int, got"):
            kind(hidden=hidden)
