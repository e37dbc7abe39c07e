"""Inputs that are no colour images: the whole way, from decisions to files that answer as Keras does."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import deciders, lite, methods
from keras_dynamic.layers import DynamicModel
from keras_dynamic.transform import attach_exits


def inputs(shape, low, high):
    """Returns 60 inputs from low to high that differ in mean and contrast, as what gates read must."""
    rng = np.random.default_rng(0)
    each = (60,) + (1,) * len(shape)
    middle, contrast = rng.uniform(0.2, 0.8, each), rng.uniform(0.1, 0.4, each)
    pattern = np.clip(middle + contrast * rng.uniform(-1, 1, (60, *shape)), 0, 1)
    return (low + (high - low) * pattern).astype(np.float32)


INPUTS = {
    "sequences": inputs((32, 6), -9, 9),
    "vectors": inputs((12,), 0, 20),
    "spectrograms": inputs((49, 10, 1), -10, 10),
    "grey": inputs((16, 16, 1), 0, 1),
}


def network(x):
    """A small residual network for inputs of this shape."""
    keras.utils.set_random_seed(3)
    given = keras.Input(x.shape[1:])
    rank = x.ndim

    def make(y, size=3):
        if rank == 2:
            return layers.Dense(8)(y)
        return {3: layers.Conv1D, 4: layers.Conv2D}[rank](8, size, padding="same")(y)

    y = layers.ReLU()(make(given))
    for _ in range(3):
        y = layers.ReLU()(layers.Add()([y, make(layers.ReLU()(make(y)))]))
    pools = {3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D}
    y = pools[rank]()(y) if rank in pools else y
    return keras.Model(given, layers.Dense(4)(y), name="net")


def gates(x):
    model = methods.ActivationGating(network(x), deciders.PerUnitGates(open_probability=0.5))
    model.build((None, *x.shape[1:]))
    for name, gate in model.decider.gates.items():  # each opens for half of the inputs, by what it sees
        gate.kernel.assign(5.0 * gate.kernel)
        odds = keras.ops.convert_to_numpy(model.outcome(x).probabilities[name]).astype(np.float64)
        gate.bias.assign([0.0, -np.median(np.log(odds / (1 - odds)))])
    return model


def exits(x):
    made = attach_exits(network(x), after=["unit1"], filters=4)
    model = DynamicModel(made.chain, deciders.Confidence())
    model.build((None, *x.shape[1:]))
    certain = keras.ops.max(keras.ops.softmax(model.outcome(x).exits["exit1"]), axis=-1)
    model.decider.set_thresholds([np.median(certain)])
    return model


def policy(x):
    model = methods.BlockDrop(network(x), deciders.SequentialPolicy(seed=0))
    model.build((None, *x.shape[1:]))
    return model


@pytest.mark.parametrize("make", [gates, exits, pytest.param(policy, marks=pytest.mark.ci)])
@pytest.mark.parametrize("kind", INPUTS)
def test_files_answer_as_keras(kind, make):
    x = INPUTS[kind]
    model = make(x)
    outcome = model.outcome(x[:20])
    wanted = keras.ops.convert_to_numpy(outcome.logits)
    decisions = np.stack([keras.ops.convert_to_numpy(value) for value in outcome.decisions.values()], axis=1)
    exact = lite.Interpreter(lite.export(model, outputs=("logits", "decisions")))
    found = [exact.run(each) for each in x[:20]]
    np.testing.assert_array_equal(np.concatenate([each["decisions"] for each in found]), decisions)
    np.testing.assert_allclose(np.concatenate([each["logits"] for each in found]), wanted, atol=1e-4)
    content = lite.export(model, "int8", x, outputs=("logits", "decisions"))
    lite.verify(content)
    quantised = lite.Interpreter(content)
    found = [quantised.run(each) for each in x[:20]]
    same = np.concatenate([each["decisions"] for each in found]) == decisions
    assert same.mean() > 0.7  # thresholds are in the middle of what they cut
    near = np.concatenate([each["logits"] for each in found])[same.all(axis=1)] - wanted[same.all(axis=1)]
    assert np.abs(near).max() < 0.1 * np.ptp(wanted)


@pytest.mark.parametrize("kind", ["sequences", "vectors", "spectrograms"])
@pytest.mark.parametrize("decider", [deciders.BinaryMaskNetwork, deciders.PerUnitGates])
def test_a_guideline_for_any_input(kind, decider):
    x = INPUTS[kind]
    if kind == "vectors" and decider is deciders.BinaryMaskNetwork:
        with pytest.raises(ValueError, match="grid must divide height and width"):
            methods.SGAD(network(x)).build((None, *x.shape[1:]))
        return
    options = {"grid": 1} if decider is deciders.BinaryMaskNetwork else {}
    model = methods.SGAD(network(x), decider(**options))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.fit(x, np.arange(60) % 4, verbose=0).history["loss"][0])


def test_gates_of_exits_read_sequences():
    x = INPUTS["sequences"]
    model = DynamicModel(attach_exits(network(x), after=["unit1"]).chain, deciders.ExitGates(widths=(4,), pool=4))
    model.build((None, *x.shape[1:]))
    assert model.outcome(x).decisions["exit1"].shape == (60,)
