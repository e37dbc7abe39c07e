"""What all policies share: how they sample and decide, what a curriculum holds open, what is counted and saved."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.layers import DynamicModel

KINDS = pytest.mark.parametrize("kind", [Policy, SequentialPolicy])
CHANCES = [0.03, 0.4, 0.97]
DRAWS = 1500


def numpy(nest):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, nest)


def stacked(values):
    return np.stack([keras.ops.convert_to_numpy(value) for value in values.values()], axis=1)


def repeated(images, count=DRAWS):
    return np.repeat(images, count, axis=0)


@KINDS
@pytest.mark.parametrize("alpha", [0.6, 0.8, 1.0])
def test_in_training_a_unit_runs_with_its_bounded_probability(kind, alpha, sure_of, toy_images):
    model = sure_of(kind, CHANCES, alpha=alpha, seed=0)
    outcome = model.outcome(repeated(toy_images(1)), training=True)
    samples = stacked(outcome.decisions)
    assert set(np.unique(samples)) <= {0.0, 1.0}
    for column, chance in enumerate(CHANCES):
        wanted = alpha * chance + (1 - alpha) * (1 - chance)
        spread = np.sqrt(wanted * (1 - wanted) / DRAWS)
        assert samples[:, column].mean() == pytest.approx(wanted, abs=4 * spread)
    # What is told is the policy's own probability, which the bound leaves alone.
    np.testing.assert_allclose(stacked(outcome.probabilities)[0], CHANCES, rtol=1e-5)


@KINDS
def test_units_and_images_are_drawn_one_by_one(kind, sure_of, toy_images):
    samples = stacked(sure_of(kind, [0.5] * 3, seed=0).outcome(repeated(toy_images(1)), training=True).decisions)
    between_units = np.corrcoef(samples.T)[np.triu_indices(3, 1)]
    between_images = [np.corrcoef(column[1:], column[:-1])[0, 1] for column in samples.T]
    assert np.abs([*between_units, *between_images]).max() < 4 / np.sqrt(DRAWS)


@KINDS
def test_in_inference_a_unit_runs_if_its_probability_is_over_one_half(kind, sure_of, toy_images):
    model = sure_of(kind, [0.49, 0.5, 0.51], alpha=0.6)
    for training in (False, None):
        decisions = stacked(model.outcome(toy_images(), training=training).decisions)
        np.testing.assert_array_equal(decisions, [[0, 0, 1]] * 6)


@KINDS
def test_seeds_reproduce(kind, sure_of, toy_images):
    models = [sure_of(kind, [0.5] * 3, seed=seed) for seed in (1, 1, 2)]
    draws = [[stacked(model.outcome(toy_images(20), training=True).decisions) for _ in range(2)] for model in models]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] != draws[2][0]).any()
    assert (draws[0][0] != draws[0][1]).any()


@KINDS
def test_samples_have_no_gradient_and_probabilities_have(kind, sure_of, gradient):
    model = sure_of(kind, [0.5] * 3, seed=0)
    kernels = [model.decider.network.layers[-1].kernel] if kind is Policy else []
    kernels += [score.layers[-1].kernel for score in getattr(model.decider, "scores", {}).values()]
    for kernel in kernels:
        kernel.assign(keras.ops.ones_like(kernel))

    def decided(images, told):
        """What the decider does with units that leave x as it is, plus twice the pixels."""
        carry = model.decider.begin(images, features(images), training=True)
        total = 2.0 * keras.ops.sum(images)
        for k in range(3):
            decisions, probabilities, carry = model.decider.decide(k, features(images), carry, training=True)
            total += sum(map(keras.ops.sum, (decisions if told == "decisions" else probabilities).values()))
        return total

    def features(images):
        return keras.ops.concatenate([images, images[..., :1]], axis=-1) / 255.0

    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(gradient(lambda x: decided(x, "decisions"), images), 2.0)
    through = np.abs(gradient(lambda x: decided(x, "probabilities"), images) - 2.0)
    # To the image alone: a sequential policy reads what the chain made of it, which learns from its answers only.
    assert through.min() > 1e-6 if kind is Policy else through.max() == 0.0


@KINDS
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("count", "closed"), [(0, 4), (1, 3), (3, 1), (4, 0), (9, 0), (None, 0)])
def test_units_that_a_curriculum_keeps_closed_run(kind, training, count, closed, sure_of, toy_images):
    model = sure_of(kind, [1e-7] * 4, alpha=1.0)
    model.decider.open_last(count)
    outcome = model.outcome(toy_images(), training=training)
    wanted = [1.0] * closed + [0.0] * (4 - closed)
    np.testing.assert_array_equal(stacked(outcome.decisions), [wanted] * 6)
    np.testing.assert_allclose(stacked(outcome.probabilities), 1e-7, rtol=1e-3)  # the policy's own
    np.testing.assert_array_equal(model.decider.free, 1.0 - np.array(wanted))


@KINDS
def test_a_new_policy_decides_every_unit(kind, sure_of):
    np.testing.assert_array_equal(sure_of(kind, CHANCES).decider.free, [1, 1, 1])


@KINDS
def test_a_curriculum_counts_decided_units(kind, sure_of, toy_chain, toy_images):
    model = sure_of(kind, [1e-7] * 3, toy_chain(units=4), always=("unit3",))
    model.decider.open_last(2)
    found = {name: value[0] for name, value in numpy(model.outcome(toy_images()).decisions).items()}
    assert found == {"unit1": 1.0, "unit2": 0.0, "unit4": 0.0}


@KINDS
def test_a_compiled_predict_sees_what_is_opened(kind, sure_of, toy_images):
    model = sure_of(kind, [1e-7] * 3)
    images, names = toy_images(), model.decision_names
    for count, open_ in ((0, [1, 1, 1]), (2, [1, 0, 0]), (None, [0, 0, 0])):
        model.decider.open_last(count)
        given = {name: np.full(6, run) for name, run in zip(names, open_, strict=True)}
        wanted = model.outcome(images, given).logits
        np.testing.assert_allclose(model.predict(images, verbose=0), wanted, atol=1e-4)


@KINDS
@pytest.mark.parametrize("count", [-1, 1.5, "all"])
def test_a_wrong_number_of_units_is_an_error(kind, count, sure_of):
    with pytest.raises(ValueError, match=f"count must be a whole number of units, at least 0, .* got {count!r}"):
        sure_of(kind, CHANCES).decider.open_last(count)


def steps(model):
    return int(keras.ops.convert_to_numpy(model.decider.steps))


@KINDS
def test_steps_are_counted_in_training_alone(kind, sure_of, toy_images):
    model = sure_of(kind, CHANCES)
    assert steps(model) == 0
    model.outcome(toy_images())
    model.predict(toy_images(), verbose=0)
    model.outcome(toy_images(), {name: np.ones(6) for name in model.decision_names}, training=True)
    assert steps(model) == 0
    model.outcome(toy_images(), training=True)
    assert steps(model) == 1
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(12), np.arange(12) % 3
    model.fit(images, labels, batch_size=4, validation_data=(images, labels), verbose=0)
    assert steps(model) == 4


@KINDS
@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.0, -1.0, 1.01, float("nan")])
def test_alpha_out_of_range_is_an_error(kind, alpha, dense_policy):
    given = {"network": dense_policy(3)} if kind is Policy else {}
    with pytest.raises(ValueError, match=f"alpha must be over 0.5 and at most 1, got {alpha}; at 0.5 every policy"):
        kind(**given, alpha=alpha)


@KINDS
def test_an_unknown_unit_is_an_error(kind, sure_of):
    with pytest.raises(
        ValueError,
        match=r"'unti2', which is not there \(did you mean 'unit2'\?\); units that can be decided are",
    ):
        sure_of(kind, CHANCES, always=("unti2",))


@KINDS
def test_the_config_makes_an_equal_policy(kind, sure_of, toy_chain):
    decider = sure_of(kind, CHANCES, toy_chain(units=4), alpha=0.7, always=["unit2"], seed=5, name="mine").decider
    again = kind.from_config(decider.get_config())
    assert again.get_config() == decider.get_config()
    assert (again.alpha, again.always, again.seed, again.name) == (0.7, ("unit2",), 5, "mine")
    assert again is not decider


@pytest.mark.ci
@KINDS
@pytest.mark.parametrize("training", [False, True])
def test_saving_keeps_decisions_samples_and_curriculum(kind, training, sure_of, toy_images, fresh_process):
    model = sure_of(kind, [0.3, 0.6, 0.55, 0.4], alpha=0.7, seed=3)
    model.decider.open_last(3)
    images = toy_images(24)
    found = fresh_process(model, images, training)
    outcome = numpy(model.outcome(images, training=training))
    for name, value in outcome.decisions.items():
        np.testing.assert_array_equal(found[f"decisions {name}"], value)
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-4)
    samples = stacked(outcome.decisions)
    assert (samples[:, 0] == 1).all()
    assert 0 < samples[:, 1:].mean() < 1


@KINDS
def test_loading_keeps_the_steps(kind, sure_of, toy_images, tmp_path):
    model = sure_of(kind, CHANCES)
    model.outcome(toy_images(), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert steps(loaded) == 1
    assert isinstance(loaded, DynamicModel)


@KINDS
def test_probabilities_are_float32_under_mixed_precision(kind, toy_chain, toy_images, dense_policy):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        given = {"network": dense_policy(3)} if kind is Policy else {}
        outcome = DynamicModel(toy_chain(), kind(**given)).outcome(toy_images(), training=True)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    for value in (*outcome.probabilities.values(), *outcome.decisions.values()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"


@KINDS
@pytest.mark.parametrize(
    ("tau", "runs"), [(0.0, [1, 1, 1]), (0.39, [0, 1, 1]), (0.41, [0, 0, 1]), (0.98, [0, 0, 0]), (1.0, [0, 0, 0])]
)
def test_tau_is_the_threshold_in_inference_alone(kind, tau, runs, sure_of, toy_images):
    model = sure_of(kind, CHANCES, seed=0)
    before = stacked(sure_of(kind, CHANCES, seed=0).outcome(toy_images(), training=True).decisions)
    model.decider.set_tau(tau)
    np.testing.assert_array_equal(stacked(model.outcome(toy_images(), training=True).decisions), before)
    np.testing.assert_array_equal(stacked(model.outcome(toy_images()).decisions), [runs] * len(toy_images()))
    model.decider.open_last(1)  # held units run whatever tau is
    np.testing.assert_array_equal(stacked(model.outcome(toy_images()).decisions)[:, :2], 1.0)


@KINDS
@pytest.mark.parametrize("tau", [-0.1, 1.5, None])
def test_a_tau_outside_its_range_is_an_error(kind, tau, sure_of):
    with pytest.raises(ValueError, match="tau must be a number between 0 and 1"):
        sure_of(kind, CHANCES, tau=tau)
    with pytest.raises(ValueError, match="tau must be a number between 0 and 1"):
        sure_of(kind, CHANCES).decider.set_tau(tau)
