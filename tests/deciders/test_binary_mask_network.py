"""BMNet: its layers in NumPy, its noise, rounding and gradient, what it costs, what is saved, bad input."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.methods import SGAD
from keras_dynamic.models import resnet_cifar
from keras_dynamic.ops import ESTIMATORS

UNIT, REST = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12  # MACs of a unit of the toy chain, and of its stem and head
CHANCES = [0.2, 0.6, 0.95]
DRAWS = 1500


def numpy(nest):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, nest)


def stacked(values):
    return np.stack([keras.ops.convert_to_numpy(value) for value in values.values()], axis=1)


def model_of(chain, **arguments):
    model = DynamicModel(chain, BinaryMaskNetwork(**arguments))
    model.build((None, 8, 8, 3))
    return model


def sure_of(chances, chain, **arguments):
    """A model whose BMNet gives each unit that it decides one probability for all images."""
    model = model_of(chain, **arguments)
    logits = np.log(chances) - np.log1p(-np.asarray(chances))
    model.decider.network.layers[-1].set_weights([np.zeros((20, len(chances))), logits])
    return model


def lively(chain, images, seed=0, **arguments):
    """A model whose BMNet runs each unit for half of these images, by what it sees in them, with log odds of 2 or so.

    Its batch norm has nearly these images' statistics.
    """
    model = model_of(chain, seed=seed, **arguments)
    rng, network = np.random.default_rng(seed), model.decider.network
    for variable in network.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    x = keras.ops.cast(model.chain.stem(images), "float32")
    for _ in range(20):
        network(x, training=True)
    *_, last, bias = network.weights
    logits = logits_by_hand(model, images) - numpy(bias)
    spread = logits.std(axis=0)
    last.assign(2 * numpy(last) / spread)
    bias.assign(-2 * np.median(logits, axis=0) / spread)
    return model


def logits_by_hand(model, images):
    """The layers of BMNet in NumPy, on what the chain's stem makes of images."""
    x = numpy(keras.ops.cast(model.chain.stem(images), "float32")).astype(np.float64)
    kernel, gamma, beta, mean, variance, dense, bias, last, last_bias = map(np.float64, weights(model))
    grid, step = model.decider.grid, x.shape[1] // model.decider.grid
    x = x.reshape(len(x), grid, step, grid, step, x.shape[-1]).mean(axis=(2, 4))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = sum(padded[:, i : i + grid, j : j + grid] @ kernel[i, j] for i in range(3) for j in range(3))
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    return np.maximum(x.reshape(len(x), -1) @ dense + bias, 0) @ last + last_bias


def weights(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.decider.network.weights]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("grid", "filters", "hidden"), [(4, 12, 20), (2, 5, 7), (8, 3, 4)])
def test_each_image_has_the_decisions_that_its_layers_say(grid, filters, hidden, toy_chain, toy_images):
    images = toy_images(40)
    model = lively(toy_chain(units=4), images, grid=grid, filters=filters, hidden=hidden)
    outcome, logits = numpy(model.outcome(images)), logits_by_hand(model, images)
    assert list(outcome.decisions) == ["unit1", "unit2", "unit3"]
    np.testing.assert_allclose(stacked(outcome.probabilities), sigmoid(logits), atol=1e-4)
    decisions = stacked(outcome.decisions)
    np.testing.assert_array_equal(decisions, logits > 0)
    assert len(np.unique(decisions, axis=0)) > 3
    network = grid**2 * 9 * 4 * filters + grid**2 * filters * hidden + hidden * 3
    assert model.cost_tree.total_macs == REST + network + 4 * UNIT
    ran = REST + network + UNIT * (1 + decisions.sum(axis=1))  # the last unit always runs
    np.testing.assert_allclose(outcome.cost, ran / model.cost_tree.total_macs, rtol=1e-6)


@pytest.mark.parametrize(
    ("always", "names"),
    [
        (None, ["unit1", "unit2", "unit3"]),
        ((), ["unit1", "unit2", "unit3", "unit4"]),
        (("unit3", "unit1"), ["unit2", "unit4"]),
    ],
)
def test_columns_go_to_the_decided_units_in_order(always, names, toy_chain, toy_images):
    chances = [0.9, 0.2, 0.7, 0.4][: len(names)]
    model = sure_of(chances, toy_chain(units=4), always=always)
    outcome = numpy(model.outcome(toy_images(2)))
    assert model.decision_names == list(outcome.decisions) == list(outcome.probabilities) == names
    np.testing.assert_allclose(stacked(outcome.probabilities), [chances] * 2, rtol=1e-5)
    np.testing.assert_array_equal(stacked(outcome.decisions), [[chance > 0.5 for chance in chances]] * 2)


def test_a_last_unit_that_cannot_be_skipped_is_not_the_one_that_always_runs(toy_images):
    bodies = [Residual(layers.Conv2D(3, 1), None, "relu", name=f"unit{k + 1}") for k in range(3)]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    chain = Chain(layers.Rescaling(1 / 255), [*bodies, layers.Conv2D(3, 1, name="narrow")], head)
    assert list(model_of(chain).outcome(toy_images()).decisions) == ["unit1", "unit2"]


def test_all_decisions_are_made_before_the_first_unit(toy_chain, toy_images):
    images = toy_images()
    model = lively(toy_chain(), images)
    before = numpy(model.outcome(images).decisions)
    for unit in model.chain.units:
        for variable in unit.trainable_variables:
            variable.assign(3 * variable)
    after = numpy(model.outcome(images).decisions)
    keras.tree.map_structure(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("open_probability", [0.1, 0.5, 0.75])
def test_an_untrained_network_runs_units_with_about_the_given_probability(open_probability, toy_chain, toy_images):
    keras.utils.set_random_seed(0)
    model = model_of(toy_chain(units=6), open_probability=open_probability)
    found = stacked(model.outcome(toy_images(32)).probabilities)
    assert abs(found.mean() - open_probability) < 0.1
    assert found.std(axis=0).min() > 0


@pytest.mark.parametrize(
    ("tau", "runs"), [(0.0, [1, 1, 1]), (0.21, [0, 1, 1]), (0.61, [0, 0, 1]), (0.96, [0, 0, 0]), (1.0, [0, 0, 0])]
)
def test_tau_is_the_threshold_in_inference_alone(tau, runs, toy_chain, toy_images):
    images, chain = toy_images(3), toy_chain(units=4)
    model = sure_of(CHANCES, chain, tau=0.3)
    assert stacked(model.outcome(images).decisions).tolist() == [[0, 1, 1]] * 3
    opened = model.predict(images, verbose=0)
    model.decider.set_tau(tau)
    for training in (False, None):
        np.testing.assert_array_equal(stacked(model.outcome(images, training=training).decisions), [runs] * 3)
    given = {name: np.full(3, run) for name, run in zip(model.decision_names, runs, strict=True)}
    closed = model.predict(images, verbose=0)  # compiled before tau changed
    np.testing.assert_allclose(closed, model.outcome(images, given).logits, atol=1e-4)
    assert (np.abs(opened - closed).max() > 1e-3) == (runs != [0, 1, 1])
    np.testing.assert_array_equal(stacked(model.outcome(images, training=True).decisions), [[0, 1, 1]] * 3)


def test_without_noise_training_rounds_the_probabilities(toy_chain, toy_images):
    images = toy_images(32)
    model = lively(toy_chain(units=4), images)
    outcome = numpy(model.outcome(images, training=True))
    chances = stacked(outcome.probabilities)
    np.testing.assert_array_equal(stacked(outcome.decisions), np.round(chances))
    assert 0.1 < np.round(chances).mean() < 0.9
    # With batch norm on the batch's own statistics, which inference does not have.
    assert np.abs(chances - stacked(model.outcome(images).probabilities)).max() > 0.01


def test_the_network_trains_when_the_model_does(toy_chain, toy_images):
    model = model_of(toy_chain())
    mean = model.decider.network.get_layer("norm").moving_mean
    for training, moves in ((False, False), (True, True)):
        before = keras.ops.convert_to_numpy(mean).copy()
        model.outcome(toy_images(), training=training)
        assert (np.abs(keras.ops.convert_to_numpy(mean) - before).max() > 1e-5) == moves


# Phi(log odds / deviation): the chance that Gaussian noise lifts 0.2's log odds, -1.386, over 0; 0.95's are 2.944.
@pytest.mark.parametrize(
    ("noise", "wanted"), [(0.0, [0, 1, 1]), (1.0, [0.0828, 0.6574, 0.9984]), (4.0, [0.3645, 0.5404, 0.7692])]
)
def test_noise_turns_a_decision_as_often_as_a_gaussian_does(noise, wanted, toy_chain, toy_images):
    images = np.repeat(toy_images(1), DRAWS, axis=0)
    model = sure_of(CHANCES, toy_chain(units=4), seed=0)
    model.decider.set_noise(noise)
    outcome = numpy(model.outcome(images, training=True))
    samples = stacked(outcome.decisions)
    assert set(np.unique(samples)) <= {0.0, 1.0}
    for column, chance in enumerate(wanted):
        spread = np.sqrt(chance * (1 - chance) / DRAWS)
        assert samples[:, column].mean() == pytest.approx(chance, abs=4 * spread)
    np.testing.assert_allclose(stacked(outcome.probabilities), [CHANCES] * DRAWS, rtol=1e-4)  # told without noise
    np.testing.assert_array_equal(stacked(model.outcome(images[:2]).decisions), [[0, 1, 1]] * 2)  # inference has none
    if noise:
        between_units = np.corrcoef(samples.T)[np.triu_indices(3, 1)]
        between_images = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in samples.T]
        assert np.abs([*between_units, *between_images]).max() < 4.5 / np.sqrt(DRAWS)


def test_seeds_reproduce(toy_chain, toy_images):
    chain = toy_chain()
    models = [sure_of([0.5, 0.5], chain, seed=seed, noise=1.0) for seed in (1, 1, 2)]
    draws = [[stacked(model.outcome(toy_images(20), training=True).decisions) for _ in range(2)] for model in models]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] != draws[2][0]).any()
    assert (draws[0][0] != draws[0][1]).any()


@pytest.mark.parametrize("noise", [0.0, 1.5])
@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_the_gradient_is_the_product_of_the_slopes(estimator, noise, toy_chain, toy_images, gradient):
    """Incoming one x estimator's slope at the noisy probability x sigmoid's slope there x that of the network."""
    images = toy_images(6)
    model = lively(toy_chain(units=4), images, estimator=estimator, noise=noise, seed=3)
    decider = model.decider
    x = numpy(model.chain.stem(images))
    incoming = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    drawn = numpy(keras.random.normal((6, 3), seed=keras.random.SeedGenerator(3)))
    p = sigmoid(numpy(decider.network(x, training=True)) + noise * drawn)
    slopes = {"identity": 1.0, "clipped": 1.0, "sinc": np.sinc(2 * (p - 0.5))}  # sinc(t) is sin(pi t) / (pi t)
    product = np.float32(incoming * slopes[estimator] * p * (1 - p))
    wanted = gradient(lambda x: product * decider.network(x, training=True), x)
    found = gradient(lambda x: incoming * decider.begin(images, x, training=True)[1], x)
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.ci
def test_gradient_scale_is_a_learning_rate_of_its_own(toy_chain, toy_images):
    """SGD moves BMNet's weights ten times as far, and the stem no further."""
    images, labels, steps = toy_images(8), np.arange(8) % 3, {}
    for scale in (1.0, 10.0):
        chain = toy_chain(units=4)
        decider = lively(chain, images, gradient_scale=scale, seed=3).decider
        model = SGAD(chain, decider, constant_ratio=0.5)
        model.compile(keras.optimizers.SGD(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.build((None, 8, 8, 3))
        parts = {"mask": decider.network.trainable_variables[-1], "stem": chain.stem.trainable_variables[0]}
        before = {name: numpy(variable) for name, variable in parts.items()}
        model.train_on_batch(images, labels)
        steps[scale] = {name: numpy(variable) - before[name] for name, variable in parts.items()}
    assert np.abs(steps[1.0]["mask"]).max() > 1e-7
    np.testing.assert_allclose(steps[10.0]["mask"], 10 * steps[1.0]["mask"], rtol=1e-2, atol=1e-7)
    np.testing.assert_allclose(steps[10.0]["stem"], steps[1.0]["stem"], rtol=1e-2, atol=1e-7)


def test_the_chain_learns_through_the_decisions(toy_chain, toy_images, gradient):
    """decide hands begin's columns on: what a unit's decision is asked for reaches its own column alone."""
    images = toy_images(4)
    decider = lively(toy_chain(units=4), images).decider
    carry = np.float32(np.random.default_rng(0).random((4, 3)))
    for k in range(3):
        columns = gradient(lambda d, k=k: decider.decide(k, None, (carry, d), True)[0][f"unit{k + 1}"], carry)
        np.testing.assert_array_equal(columns, np.eye(3)[[k] * 4])
    assert decider.decide(3, None, (carry, carry), True)[:2] == ({}, {})


@pytest.mark.parametrize(
    ("depth", "macs", "parameters"), [(32, 0.0006, 0.0161), pytest.param(110, 0.0002, 0.0159, marks=pytest.mark.ci)]
)
def test_overheads_are_within_the_papers(depth, macs, parameters):
    n = (depth - 2) // 6
    network = resnet_cifar(depth)
    model = DynamicModel(network.chain, BinaryMaskNetwork())
    model.build((None, 32, 32, 3))
    network.build((None, 32, 32, 3))
    (node,) = [child for child in model.cost_tree.children if child.name == "bmnet"]
    # 3x3 on 4x4 positions from 16 to 12 channels, 192 to 20, 20 to a logit for each unit but the last.
    assert node.total_macs == 16 * 9 * 16 * 12 + 192 * 20 + 20 * (3 * n - 1)
    assert node.total_parameters == 9 * 16 * 12 + 4 * 12 + 193 * 20 + 21 * (3 * n - 1)
    # Stem, 2n convolutions per stage, all as dear but for the two that halve the image, and the head.
    convolutions = 6 * n - 2 + 2 * 0.5
    plain = 32 * 32 * 27 * 16 + convolutions * 32 * 32 * 9 * 16 * 16 + 64 * 10
    assert network.cost_tree.total_macs == plain
    assert 0 < node.total_macs / plain < macs
    stages = [(2 * n, 16, 16), (1, 16, 32), (2 * n - 1, 32, 32), (1, 32, 64), (2 * n - 1, 64, 64)]
    weighted = 27 * 16 + 4 * 16 + sum(count * (9 * a + 4) * b for count, a, b in stages) + 65 * 10
    assert network.cost_tree.total_parameters == weighted
    assert 0 < node.total_parameters / weighted < parameters
    assert model.cost_tree.total_macs == plain + node.total_macs
    assert [child.name for child in model.cost_tree.children][:2] == ["stem", "bmnet"]


def test_it_decides_in_float32_under_mixed_precision(toy_chain, toy_images):
    images = toy_images(16)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = lively(toy_chain(), images, noise=0.5)
        told = [model.outcome(images, training=training) for training in (False, True)]
        logits = logits_by_hand(model, images)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert model.chain.units[0].compute_dtype == "bfloat16"
    for outcome in told:
        for value in (*outcome.probabilities.values(), *outcome.decisions.values()):
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
    # bfloat16 would be off by some 0.004. Training moved the statistics, so the hand's are those of after.
    np.testing.assert_allclose(stacked(model.outcome(images).probabilities), sigmoid(logits), atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_saving_keeps_decisions_noise_and_seed(training, toy_chain, toy_images, fresh_process):
    images = toy_images(24)
    model = lively(toy_chain(units=4), images, seed=3, always=("unit2",), grid=2)
    model.decider.set_noise(1.5)
    model.decider.set_tau(0.4)
    found = fresh_process(model, images, training)
    outcome = numpy(model.outcome(images, training=training))
    assert list(outcome.decisions) == ["unit1", "unit3", "unit4"]
    for name, value in outcome.decisions.items():
        np.testing.assert_array_equal(found[f"decisions {name}"], value)
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-4)
    np.testing.assert_allclose(found["cost"], outcome.cost, rtol=1e-6)
    assert 0 < stacked(outcome.decisions).mean() < 1


@pytest.mark.parametrize("always", [None, (), ("unit1", "unit3")])
def test_the_config_holds_what_is_set_now(always, toy_chain):
    given = {"grid": 2, "filters": 3, "hidden": 5, "open_probability": 0.6, "estimator": "clipped", "seed": 4}
    decider = model_of(toy_chain(), always=always, **given).decider
    decider.set_noise(0.75)
    decider.set_tau(0.25)
    again = BinaryMaskNetwork.from_config(decider.get_config())
    assert again.get_config() == decider.get_config()
    found = again.get_config()
    assert {name: found[name] for name in given} == given
    assert (found["noise"], found["tau"]) == (0.75, 0.25)
    assert found["always"] == (None if always is None else list(always))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": 0}, "grid must be a positive int, got 0"),
        ({"grid": 2.0}, r"grid must be a positive int, got 2\.0"),
        ({"filters": True}, "filters must be a positive int, got True"),
        ({"hidden": -1}, "hidden must be a positive int, got -1"),
        ({"open_probability": 1.0}, r"open_probability must lie strictly between 0 and 1, got 1\.0"),
        ({"open_probability": "half"}, "open_probability must lie strictly between 0 and 1, got 'half'"),
        ({"estimator": "sink"}, r"estimator must be one of .* got 'sink' \(did you mean 'sinc'\?\)"),
        ({"noise": -0.5}, r"noise must be a non-negative number, got -0\.5"),
        ({"noise": float("inf")}, "noise must be a non-negative number, got inf"),
        ({"tau": 1.5}, r"tau must be a number between 0 and 1, got 1\.5"),
        ({"tau": None}, "tau must be a number between 0 and 1, got None"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        BinaryMaskNetwork(**arguments)


def test_what_cannot_be_set_leaves_what_was(toy_chain):
    decider = model_of(toy_chain(), noise=0.5).decider
    with pytest.raises(ValueError, match=r"noise must be a non-negative number, got -1\.0"):
        decider.set_noise(-1.0)
    with pytest.raises(ValueError, match=r"tau must be a number between 0 and 1, got 2\.0"):
        decider.set_tau(2.0)
    assert [float(numpy(each)) for each in (decider.noise, decider.tau)] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("units", "always", "got"),
    [
        (0, None, r"got units \[\] and always=None"),
        (1, None, r"got units \['unit1'\] and always=None"),
        (0, (), r"got units \[\] and always=\(\)"),
        (2, ("unit1", "unit2"), r"got units \['unit1', 'unit2'\] and always=\('unit1', 'unit2'\)"),
    ],
)
def test_fewer_than_two_units_or_none_to_decide_is_an_error(units, always, got, toy_chain):
    with pytest.raises(ValueError, match=f"at least two units that can be skipped, {got}"):
        model_of(toy_chain(units=units), always=always)


def test_an_unknown_unit_is_an_error(toy_chain):
    with pytest.raises(
        ValueError,
        match=r"'unti2', which is not there \(did you mean 'unit2'\?\); units that can be decided are",
    ):
        model_of(toy_chain(), always=("unti2",))


@pytest.mark.parametrize("grid", [3, 16])
def test_a_grid_that_does_not_divide_is_an_error(grid, toy_chain):
    with pytest.raises(ValueError, match=rf"grid must divide .* got grid={grid} for \(None, 8, 8, 4\)"):
        model_of(toy_chain(), grid=grid)


def test_a_stem_without_an_image_is_an_error(toy_images):
    units = [Residual(layers.Dense(4), None, "relu", name=f"unit{k + 1}") for k in range(2)]
    chain = Chain([layers.Flatten(), layers.Dense(4)], units, layers.Dense(3))
    with pytest.raises(ValueError, match=r"grid must divide height and width .* got grid=4 for \(None, 4\)"):
        model_of(chain)
