"""Gates of dual dynamic inference: the LSTM in NumPy, costs, grains that guard one another, files, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite
from keras_dynamic.deciders import ChannelCNNGates, CombinedDecider, RecurrentGates
from keras_dynamic.layers import Chain, ConvolutionGate, DynamicModel, Residual
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import resnet_cifar
from keras_dynamic.transform import group_channels
from tests.layers.grouped import draw_gates

FEATURES, HIDDEN = 3, 2


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def lively(toy_chain, toy_images):
    """A model of four units, three of which the LSTM decides, for about half of these images each."""
    model = DynamicModel(toy_chain(units=4), RecurrentGates(FEATURES, HIDDEN))
    model.build((None, 8, 8, 3))
    rng, images = np.random.default_rng(0), toy_images(40)
    decider = model.decider
    for layer in (*decider.projections.values(), decider.look, decider.remember, decider.score):
        for weight in layer.trainable_variables:
            weight.assign(rng.normal(0, 1.0, weight.shape))
    probabilities = np.concatenate([numpy(value) for value in model.outcome(images).probabilities.values()])
    middle = np.median(np.log(probabilities / (1 - probabilities)))
    decider.score.bias.assign(decider.score.bias - middle)
    return model, images


def by_hand(model, images):
    """Decisions and probabilities in NumPy, from the units' inputs in Keras."""
    decider, x = model.decider, model.chain.stem(images)
    state = cell = np.zeros((len(images), HIDDEN))
    decisions, probabilities = {}, {}
    for unit in model.chain.units:
        run = np.ones(len(images))
        if unit.name in decider.names:
            means = numpy(x).mean(axis=(1, 2))
            kernel, bias = map(numpy, decider.projections[unit.name].weights)
            seen = np.maximum(means @ kernel + bias, 0)
            kernel, bias = map(numpy, decider.look.weights)
            take, keep, new, give = np.split(seen @ kernel + bias + state @ numpy(decider.remember.kernel), 4, axis=1)
            cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
            state = sigmoid(give) * np.tanh(cell)
            kernel, bias = map(numpy, decider.score.weights)
            probabilities[unit.name] = sigmoid(state @ kernel + bias)[:, 0]
            run = decisions[unit.name] = (probabilities[unit.name] > 0.5).astype(float)
        x = unit(x, keras.ops.convert_to_tensor(run, "float32"))
    return decisions, probabilities


def test_the_lstm_steps_through_all_units_and_remembers(lively):
    model, images = lively
    decisions, probabilities = by_hand(model, images)
    found = model.outcome(images)
    assert list(found.decisions) == ["unit2", "unit3", "unit4"]
    for name, expected in probabilities.items():
        np.testing.assert_allclose(numpy(found.probabilities[name]), expected, atol=1e-5)
        np.testing.assert_array_equal(numpy(found.decisions[name]), decisions[name])
    assert 0.2 < np.mean(list(decisions.values())) < 0.8


def test_training_rounds_with_the_gradient_of_the_probability(lively):
    model, images = lively
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outcome = model.outcome(images, training=True)
        loss = keras.ops.sum(keras.ops.stack(list(outcome.decisions.values())))
    np.testing.assert_array_equal(
        numpy(outcome.decisions["unit2"]), (numpy(outcome.probabilities["unit2"]) > 0.5).astype(float)
    )
    found = tape.gradient(loss, model.decider.score.bias)
    probabilities = np.stack([numpy(value) for value in outcome.probabilities.values()])
    later = found - (probabilities * (1 - probabilities)).sum()
    assert abs(float(later[0])) < 5.0  # what flows through later inputs
    assert all(gradient is not None for gradient in (found,))


def test_what_a_step_costs():
    """Projection c f, input part f 4h, state part h 4h but at the first step, score h."""
    model = DynamicModel(resnet_cifar(8).chain, RecurrentGates(10, 10))
    model.build((None, 32, 32, 3))
    nodes = {part.name: part.total_macs for part in model.cost_tree.children if part.decides}
    assert nodes == {
        "stage2_unit1_gate": 16 * 10 + 10 * 40 + 10,
        "stage3_unit1_gate": 32 * 10 + 10 * 40 + 10 * 40 + 10,
    }


@pytest.mark.parametrize("per_unit", [True, False])
def test_every_weight_counts_once(per_unit):
    model = DynamicModel(resnet_cifar(14).chain, RecurrentGates(per_unit=per_unit))
    model.build((None, 32, 32, 3))
    gates = sum(part.total_parameters for part in model.cost_tree.children if part.decides)
    assert gates == sum(np.prod(weight.shape, dtype=int) for weight in model.decider.trainable_variables)
    gate = ConvolutionGate(3)
    gate(keras.KerasTensor((None, 8, 8, 4)))
    assert cost.tree(gate, keras.KerasTensor((None, 8, 8, 4))).total_parameters == gate.count_params()


def test_a_cnn_gate_costs_an_eighth_of_a_residual_block():
    """The paper's 12.5 % of a block of ResNet-34, whose pool and dense layer are as good as nothing."""
    side, channels = 56, 64
    gate = ConvolutionGate(channels)
    spec = keras.KerasTensor((None, side, side, channels))
    gate(spec)
    block = 2 * side * side * 9 * channels * channels
    assert cost.tree(gate, spec).total_macs / block == pytest.approx(0.125, abs=5e-5)
    narrow = ConvolutionGate(8, 4, bottleneck=6)
    narrow(spec)
    wanted = side * side * channels * 6 + (side // 2) ** 2 * 9 * 6 * 4 + 4 * 8
    assert cost.tree(narrow, spec).total_macs == wanted


def both(noise=False, open_probability=0.9):
    keras.utils.set_random_seed(0)
    plain = resnet_cifar(8, width=4)
    plain.build((None, 32, 32, 3))
    network = group_channels(plain, {"stage1": 2, "stage2": 4, "stage3": 8})
    common = {"noise": noise, "open_probability": open_probability, "seed": 0}
    decider = CombinedDecider([RecurrentGates(**common), ChannelCNNGates(always=("stage1_unit1",), **common)])
    model = ActivationGating(network.chain, decider, target=0.6, activation_weight=10.0)
    model.build((None, 32, 32, 3))
    return model


def images(count):
    """Noise, from dark to bright."""
    bright = np.linspace(0.1, 1, count)[:, None, None, None]
    return (bright * np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3))).astype(np.uint8)


def test_coarse_decisions_guard_fine_ones_and_their_gates():
    model = both()
    fine = [name for name in model.decision_names if "[" in name]
    assert {model.decider.within[name] for name in fine} == {"stage2_unit1", "stage3_unit1"}
    off = {name: np.array([float(name not in ("stage2_unit1", "stage3_unit1"))]) for name in model.decision_names}
    on = {name: np.ones(1) for name in model.decision_names}
    parts = {part.name: part.total_macs for part in model.cost_tree.children}
    gates = sum(part.total_macs for part in model.cost_tree.children if "_gate" in part.name and any(part.guards()))
    saved = int(cost.given(model.cost_tree, on)[0] - cost.given(model.cost_tree, off)[0])
    assert gates > 0
    assert saved >= gates
    assert saved <= parts["stage2_unit1"] + parts["stage3_unit1"] + gates


def test_parts_of_both_grains_have_names_of_their_own():
    """Energy and times are given by the names of parts."""
    model = both()
    names = [part.name for part in model.cost_tree.children]
    assert len(set(names)) == len(names)
    assert {"stage2_unit1_gate", "stage2_unit1_gate2"} <= set(names)
    energy = lite.part_energy(model)
    assert sorted(energy) == sorted(names)
    assert all(energy[f"stage2_unit1_gate{number}"] > 0 for number in ("", 2))


@pytest.mark.ci
def test_both_grains_in_files_decide_as_in_keras():
    model, x = both(), images(12)
    draw_gates(*model.decider.deciders)
    outcome = model.outcome(x, training=False)
    content = lite.export(model, outputs=("logits", "decisions", "macs"), fold="never")
    names, unit = lite.read_metadata(content)["decisions"], lite.read_metadata(content)["macs_unit"]
    runner = lite.Interpreter(content)
    found = [runner.run(image) for image in x]
    np.testing.assert_allclose(np.concatenate([each["logits"] for each in found]), numpy(outcome.logits), atol=1e-3)
    decisions = {name: numpy(value) for name, value in outcome.decisions.items()}
    np.testing.assert_array_equal(
        np.concatenate([each["decisions"] for each in found]), np.stack([decisions[name] for name in names], axis=1)
    )
    macs = unit * np.concatenate([each["macs"] for each in found])
    np.testing.assert_array_equal(macs, cost.given(model.cost_tree, decisions))
    assert len(np.unique(macs)) > 1


def test_saved_and_loaded_they_decide_the_same(lively, tmp_path):
    model, images = lively
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(loaded(images)), numpy(model(images)), atol=1e-6)
    assert loaded.decider.names == model.decider.names


def test_one_projection_for_each_width():
    model = DynamicModel(resnet_cifar(14).chain, RecurrentGates(per_unit=False))
    model.build((None, 32, 32, 3))
    assert sorted(model.decider.projections) == ["16", "32", "64"]


@pytest.mark.ci
def test_training_reaches_a_target(toy_images):
    model = both(open_probability=0.8)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = images(64)
    before = model.evaluate(x, np.arange(64) % 10, verbose=0, return_dict=True)
    model.fit(x, np.arange(64) % 10, epochs=25, verbose=0)
    after = model.evaluate(x, np.arange(64) % 10, verbose=0, return_dict=True)
    assert abs(after["activation_rate"] - 0.6) < abs(before["activation_rate"] - 0.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0}, "features must be a positive int, got 0"),
        ({"hidden": 1.5}, "hidden must be a positive int, got 1.5"),
        ({"open_probability": 1.0}, "open_probability"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecurrentGates(**arguments)


def test_units_and_gates_that_cannot_be(toy_chain):
    with pytest.raises(ValueError, match="at least two units that can be skipped"):
        DynamicModel(toy_chain(units=1), RecurrentGates()).build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="filters must be a positive int or None, got 0"):
        ChannelCNNGates(filters=0)
    for ignored in ({"memory": 4}, {"data_dependent": False}):
        with pytest.raises(ValueError, match="small CNNs read images and have no memory"):
            ChannelCNNGates(**ignored)
    unit = Residual(keras.layers.Dense(4), name="unit")
    chain = Chain(keras.layers.Dense(4), [unit], keras.layers.Dense(2))
    with pytest.raises(ValueError, match="channel groups"):
        DynamicModel(chain, ChannelCNNGates()).build((None, 4))
    with pytest.raises(ValueError, match="reads sequences or feature maps"):
        ConvolutionGate(2)(keras.KerasTensor((None, 4)))
