"""The compact execution against the masked one: the same answers, for less work, in one trace."""

import os
import signal

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import CombinedDecider, Confidence, ExitGates, Patience, PerUnitGates
from keras_dynamic.layers import DynamicModel, Exit, NormalizePixels
from keras_dynamic.models import cascade
from keras_dynamic.serving import compact
from keras_dynamic.serving.compact import _CompactExecutor


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def agree(model, images, run=None):
    """Both readings give the same logits, decisions and cost; returns the decisions' shares."""
    masked, found = model.outcome(images), (run or compact(model))(images)
    np.testing.assert_allclose(found.logits, masked.logits, atol=1e-5)
    assert found.decisions.keys() == masked.decisions.keys()
    for name, value in masked.decisions.items():
        np.testing.assert_array_equal(found.decisions[name], value)
    np.testing.assert_allclose(found.cost, masked.cost, rtol=1e-6)
    return {name: float(array(value).mean()) for name, value in masked.decisions.items()}


@pytest.fixture
def gated(toy_chain, toy_images, spread_gates):
    model = DynamicModel(toy_chain(units=3), PerUnitGates())
    model.build((None, 8, 8, 3))
    spread_gates(model, toy_images(16))
    return model


@pytest.fixture
def with_exits(toy_chain, toy_images):
    """Of 16 images half stop at the first exit, half of the others at the second."""
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = DynamicModel(toy_chain(units=3, exits=exits), Confidence("margin"))
    outcome, here = model.outcome(toy_images(16)), np.ones(16, bool)
    thresholds = []
    for logits in outcome.exits.values():
        ordered = np.sort(array(logits), axis=1)
        margins = ordered[:, -1] - ordered[:, -2]
        thresholds.append(float(np.median(margins[here])))
        here &= margins < thresholds[-1]
    model.decider.set_thresholds(thresholds)
    return model


def test_units(gated, toy_images):
    shares = agree(gated, toy_images(16))
    assert all(0 < share < 1 for share in shares.values())


def test_exits(with_exits, toy_images):
    images = toy_images(16)
    assert agree(with_exits, images) == {"exit1": 0.5, "exit2": 0.25}
    found, masked = compact(with_exits)(images), with_exits.outcome(images)
    reached = array(masked.decisions["exit1"]) == 1
    np.testing.assert_allclose(array(found.exits["exit2"])[reached], array(masked.exits["exit2"])[reached], atol=1e-5)
    assert not array(found.exits["exit2"])[~reached].any()


def test_networks_of_a_cascade_and_gates_inside_them(gated, toy_images):
    image = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(NormalizePixels((0.5,) * 3, (0.25,) * 3)(image))
    small = keras.Model(image, layers.Dense(3)(pooled), name="small")
    model = cascade([small, gated])
    images = toy_images(16)
    certain = np.exp(array(small(images)))
    model.decider.set_thresholds([float(np.median(certain.max(axis=1) / certain.sum(axis=1)))])
    shares = agree(model, images)
    (unit,) = [name for name in shares if "/" not in name]
    assert shares[unit] == 0.5
    assert any(0 < share < 0.5 for name, share in shares.items() if "/" in name)


def test_one_trace_for_batches_of_any_size_and_any_decisions(with_exits, toy_images):
    run = compact(with_exits)
    for count in (1, 5, 16, 33):
        agree(with_exits, toy_images(count), run)
    for thresholds in ([-1.0, -1.0], [np.inf, np.inf], [np.inf, -1.0]):  # nobody, everybody, everybody once goes on
        with_exits.decider.set_thresholds(thresholds)
        agree(with_exits, toy_images(7), run)
    assert run.compiled.experimental_get_tracing_count() == 1


def test_a_skipped_part_is_not_run_at_all(toy_chain, toy_images, monkeypatch):
    """A unit whose body divides by zero images would notice; here it counts the rows that it sees."""
    import tensorflow as tf

    seen = []

    class Counting(layers.Layer):
        def call(self, x):
            tf.py_function(lambda rows: seen.append(int(rows)), [tf.shape(x)[0]], [])
            return x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, dtype=x.dtype)

    from keras_dynamic.cost import register

    register(Counting)(lambda layer, inputs: 0)
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="early")]
    chain = toy_chain(units=2, exits=exits)
    chain.units[1].body.add(Counting())
    model = DynamicModel(chain, Confidence())
    model.build((None, 8, 8, 3))
    run = compact(model)
    images = toy_images(6)
    logits = array(model.outcome(images).exits["early"])
    certain = np.exp(logits).max(axis=1) / np.exp(logits).sum(axis=1)
    seen.clear()
    model.decider.set_thresholds([float(np.sort(certain)[2])])  # two are under it
    run(images)
    model.decider.set_thresholds([-1.0])
    run(images)
    assert seen == [2]


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 9, 8, 3), (8, 8, 3)])
def test_other_images_are_refused(shape, gated):
    with pytest.raises(ValueError, match=r"compact takes a batch of images, \[batch, 8, 8, 3\], got shape"):
        compact(gated)(np.zeros(shape, np.uint8))


def test_a_model_that_is_not_built_is_refused(toy_chain):
    with pytest.raises(ValueError, match="compact takes a built DynamicModel"):
        compact(DynamicModel(toy_chain(), PerUnitGates()))


@pytest.mark.parametrize("patience", [2, 3])
def test_a_decider_with_a_carry(patience, toy_chain, toy_images, spread_exits):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in range(1, 5)]
    model = DynamicModel(toy_chain(units=4, exits=exits), Patience(patience))
    spread_exits(model, toy_images(32))
    shares = agree(model, toy_images(32))
    assert shares["exit1"] == 1 > shares["exit4"] > 0


def test_several_deciders(toy_chain, toy_images):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    gates = PerUnitGates(always=["unit2"])
    model = DynamicModel(toy_chain(units=3, exits=exits), CombinedDecider([gates, ExitGates((4,))]))
    images = toy_images(16)
    chances = {name: array(value) for name, value in model.outcome(images).probabilities.items()}
    for name, gate in gates.gates.items():
        gate.bias.assign(gate.bias - [0.0, float(np.median(np.log(chances[name] / (1 - chances[name]))))])
    exit_chances = array(model.outcome(images).probabilities["exit1"])
    model.decider.deciders[1].set_tau(float(np.median(exit_chances)))
    shares = agree(model, images)
    assert shares["exit1"] == 0.5
    assert 0 < shares["unit3"] < 1


def test_either_way_runs_on_its_own_images_which_keep_their_order(toy_images):
    """Of five images two run: the body sees two, the shortcut two in the branch and three on the other way."""
    import tensorflow as tf

    from keras_dynamic.layers import Chain, Residual

    seen = []

    class Counting(layers.Layer):
        def __init__(self, what):
            super().__init__()
            self.what = what

        def call(self, x):
            tf.py_function(lambda rows: seen.append((self.what, int(rows))), [tf.shape(x)[0]], [])
            return x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, dtype=x.dtype)

    from keras_dynamic.cost import register

    register(Counting)(lambda layer, inputs: 0)
    unit = Residual([Counting("body"), layers.Rescaling(2.0)], Counting("shortcut"), name="unit")
    chain = Chain(layers.Rescaling(1.0), [unit], layers.GlobalAveragePooling2D())
    model = DynamicModel(chain, PerUnitGates())
    model.build((None, 8, 8, 3))
    outcome = tf.function(
        lambda images, runs: model.outcome(
            images, decisions={"unit": runs}, training=False, executor=_CompactExecutor()
        )
    )
    images = toy_images(5).astype("float32")
    for runs, rows in (([0, 1, 0, 0, 1], [2, 2, 3]), ([1] * 5, [5, 5]), ([0] * 5, [5])):
        runs = np.array(runs, np.float32)
        seen.clear()
        found = outcome(images, runs).logits
        wanted = images.mean(axis=(1, 2)) * (1 + 2 * runs[:, None])
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert sorted(count for _, count in seen) == rows
        assert sum(count for what, count in seen if what == "body") == runs.sum()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("kind", ["gated", "with_exits"])
def test_no_class_for_an_image_that_is_not_finite(kind, wrong, request, toy_images):
    images = np.array(toy_images(6), float)
    images[4, 1, 2, 0] = wrong
    run = compact(request.getfixturevalue(kind))
    with pytest.raises(ValueError, match="images must be finite numbers, got NaN or infinity in image 4 of 6; leave"):
        run(images)


def test_masked_answers_to_what_is_no_number_are_none(gated, with_exits, toy_images):
    images = np.array(toy_images(6), np.float32)
    images[4, 1, 2, 0] = np.nan
    for model in (gated, with_exits):
        logits = array(model.outcome(images, training=False).logits)
        assert np.isnan(logits[4]).all()
        np.testing.assert_allclose(np.delete(logits, 4, 0), np.delete(array(model(toy_images(6))), 4, 0), atol=1e-5)


def test_a_fork_is_refused_before_it_hangs(gated, toy_images):
    run, images = compact(gated), toy_images(4)
    run(images)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            run(images)
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said.startswith("TensorFlow hangs in a fork of a process that used it; load the model and call compact in")
