"""ACT: weights and ponder cost in NumPy, its gradient, files, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import ACT
from keras_dynamic.transform import add_halting, attach_exits

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EPSILON = 0.01


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture
def plain(toy_chain):
    made = DynamicModel(toy_chain(units=4), name="plain")
    made.build((None, 8, 8, 3))
    return made


@pytest.fixture
def halting(plain, toy_images):
    """A model of one stage of four units, whose scores depend on the image."""
    model = ACT(add_halting(plain).chain, ponder_weight=0.5)
    model.build((None, 8, 8, 3))
    rng = np.random.default_rng(0)
    x = model.chain.stem(toy_images(40))
    for unit in model.chain.units[:-1]:
        features = x["features"] if isinstance(x, dict) else x
        means = numpy(unit.unit(features)).mean(axis=(1, 2))
        kernel = rng.normal(0, 1, (means.shape[1], 1))
        kernel *= 2 / (means @ kernel).std()
        unit.score.kernel.assign(kernel)
        unit.score.bias.assign(-(means @ kernel).mean(axis=0) - 0.5)
        x = unit(x)
    return model


def by_hand(model, images):
    """Logits, decisions of the later units and ponder cost, from the units' outputs in Keras."""
    features, left = model.chain.stem(images), np.ones(len(images))
    mean, ran, last, decisions = 0.0, 0.0, np.zeros(len(images)), []
    for k, unit in enumerate(model.chain.units):
        running = left > 0
        decisions.append(running)
        features = unit.unit(features)
        maps = numpy(features)
        score = 1.0
        if k < 3:
            z = maps.mean(axis=(1, 2)) @ numpy(unit.score.kernel)[:, 0] + numpy(unit.score.bias)[0]
            score = 1 / (1 + np.exp(-z))
        given = np.where(left - score <= EPSILON, left, score) * running
        last = np.where(running, left, last)
        mean = mean + given[:, None, None, None] * maps
        left, ran = left - given, ran + running
    return numpy(model.chain.head.head(mean.astype("float32"))), np.array(decisions[1:]), ran + last


def test_weights_and_ponder_cost(halting, toy_images):
    images = toy_images(40)
    logits, decisions, ponder = by_hand(halting, images)
    outcome = halting.outcome(images)
    assert 0.1 < decisions[-1].mean() < 0.9
    np.testing.assert_array_equal(np.array([numpy(value) for value in outcome.decisions.values()]), decisions)
    np.testing.assert_allclose(numpy(outcome.logits), logits, atol=1e-5)
    np.testing.assert_allclose(numpy(halting.ponder(outcome)), ponder, atol=1e-5)
    losses = halting.outcome_losses(images, np.arange(40) % 3, outcome)
    assert float(losses["ponder"]) == pytest.approx(0.5 * ponder.mean(), rel=1e-5)
    unit, score = 2 * 64 * 9 * 4 * 4, 4
    macs = cost.given(halting.cost_tree, {name: numpy(value) for name, value in outcome.decisions.items()})
    np.testing.assert_array_equal(
        macs, 64 * 27 * 4 + 12 + (1 + decisions.sum(axis=0)) * (unit + score) - 4 * decisions[2]
    )


def test_larger_scores_cost_less(halting, toy_images):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        ponder = halting.outcome_losses(None, None, halting.outcome(toy_images(40)))["ponder"]
    gradients = tape.gradient(ponder, [unit.score.bias.value for unit in halting.chain.units[:3]])
    assert np.max([float(gradient[0]) for gradient in gradients]) < 0


@pytest.mark.parametrize("int8", [False, pytest.param(True, marks=pytest.mark.ci)], ids=["float32", "int8"])
def test_a_file_halts_as_keras_does(int8, halting, toy_images):
    images = toy_images(40)
    content = lite.export(halting, "int8" if int8 else None, images, ("logits", "decisions", "macs"))
    interpreter, unit = lite.Interpreter(content), lite.read_metadata(content)["macs_unit"]
    found = [interpreter.run(image) for image in images]
    outcome = halting.outcome(images)
    decisions = np.stack([numpy(value) for value in outcome.decisions.values()], axis=1)
    same = np.array([(each["decisions"][0] == row).all() for each, row in zip(found, decisions, strict=True)])
    assert same.mean() > (0.7 if int8 else 0.99)
    macs = cost.given(halting.cost_tree, {name: numpy(value) for name, value in outcome.decisions.items()})
    np.testing.assert_array_equal(np.array([each["macs"].item() * unit for each in found])[same], macs[same])
    if not int8:
        np.testing.assert_allclose([each["logits"][0] for each in found], numpy(outcome.logits), atol=1e-4)


@pytest.mark.ci
def test_training_saves_and_is_saved(plain, toy_images, tmp_path):
    images, labels = toy_images(64), np.arange(64) % 3
    model = ACT(add_halting(plain).chain, ponder_weight=2.0)
    model.compile(keras.optimizers.Adam(0.05), LOSS, metrics=["accuracy"])
    history = model.fit(images, labels, epochs=15, verbose=0).history["macs_millions"]
    assert history[-1] < 0.8 * history[0]
    model.save(tmp_path / "act.keras")
    loaded = keras.models.load_model(tmp_path / "act.keras")
    np.testing.assert_allclose(numpy(loaded(images)), numpy(model(images)), atol=1e-5)


def test_bad_input(plain, toy_chain):
    with pytest.raises(ValueError, match="ponder_weight must be a non-negative number, got -1"):
        ACT(add_halting(plain).chain, ponder_weight=-1)
    with pytest.raises(ValueError, match=r"decides on units of layers\.Halting, got none; take transform\.add_halting"):
        ACT(toy_chain()).build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="epsilon must be under 1"):
        add_halting(plain, epsilon=1)
    one = DynamicModel(toy_chain(units=1), name="one")
    gated = DynamicModel(toy_chain(), PerUnitGates(), name="gated")
    for model in (one, gated):
        model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="'one' has no stage of two units or more"):
        add_halting(one)
    for model in (gated, attach_exits(plain, ["unit1"])):
        with pytest.raises(ValueError, match="add_halting takes a built network without exits in which everything"):
            add_halting(model)
