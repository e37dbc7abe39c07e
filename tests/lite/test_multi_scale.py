"""An exported multi-scale dense network answers as Keras; its exits are not in the file."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite, models
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import Chain, DynamicModel
from keras_dynamic.ops import confidence


def test_float32_answers_and_costs_as_keras():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    model = models.msdnet(num_classes=7, blocks=2, base=2, channels=4, growth=2)
    model.build((None, 32, 32, 3))
    exported = lite.export(model)
    runner = lite.Interpreter(exported)
    found = np.concatenate([runner.run(image)["logits"] for image in images])
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)
    assert np.ptp(found) > 0.01
    without_exits = sum(node.total_macs for node in model.cost_tree.children if not node.exit)
    assert lite.verify(exported).macs_all_on == without_exits < model.cost_tree.total_macs


@pytest.mark.ci
def test_a_network_that_stops_computes_before_an_exit_what_this_needs_alone():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    network = models.msdnet(num_classes=7, blocks=3, base=1, step=1, step_mode="even", channels=4, growth=2)
    model = DynamicModel(network.chain, Confidence())
    exits = model.outcome(images).exits
    model.decider.set_thresholds([float(np.median(confidence(logits))) for logits in exits.values()])
    outcome = model.outcome(images)
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    verified = lite.verify(exported)  # MACs counted in the file are those of the cost table, decision by decision
    assert (verified.decisions, verified.conditionals) == (("exit1", "exit2"), 2)
    runner, unit = lite.Interpreter(exported), lite.read_metadata(exported)["macs_unit"]
    decisions = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    macs = cost.given(model.cost_tree, decisions)
    for k, image in enumerate(images):
        answer = runner.run(image)
        np.testing.assert_allclose(answer["logits"][0], np.asarray(outcome.logits[k]), atol=1e-5)
        assert answer["macs"][0] * unit == macs[k]
    assert len(set(macs)) > 1


@pytest.mark.ci
@pytest.mark.parametrize("stops", [False, True])
def test_int8_holds_no_float_and_answers_nearly_as_keras(stops):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    model = models.msdnet(num_classes=7, blocks=3, base=1, step=1, step_mode="even", channels=4, growth=2)
    model.build((None, 32, 32, 3))
    if stops:
        model = DynamicModel(model.chain, Confidence())
        exits = model.outcome(images).exits
        model.decider.set_thresholds([float(np.median(confidence(logits))) for logits in exits.values()])
    exported = lite.export(model, "int8", images, outputs=("logits", "decisions"))
    assert lite.verify(exported).quantize == "int8"
    found = [lite.Interpreter(exported).run(image) for image in images]
    wanted = np.asarray(model(images))
    logits = np.concatenate([each["logits"] for each in found])
    assert np.median(np.abs(logits - wanted)) < 0.1 * np.abs(wanted).max()
    if stops:
        rates = np.concatenate([each["decisions"] for each in found]).mean(0)
        assert ((rates > 0) & (rates < 1)).all()


def keep(kind):
    """Returns a layer that keeps the scale of its input in int8."""
    made = {
        "maximum": keras.layers.MaxPooling2D(2),
        "padding": keras.layers.ZeroPadding2D(1),
        "cropping": keras.layers.Cropping2D(1),
        "nearest": keras.layers.UpSampling2D(2),
        "bilinear": keras.layers.UpSampling2D(2, interpolation="bilinear"),
        "transposed": keras.layers.Permute((2, 1, 3)),
        "reshaped": keras.layers.Reshape((4, 16, 4)),
    }
    return made[kind]


@pytest.mark.ci
@pytest.mark.parametrize("reshaped", [False, True])
@pytest.mark.parametrize("kind", ["maximum", "padding", "cropping", "nearest", "bilinear", "transposed", "reshaped"])
def test_int8_of_what_is_concatenated_and_read_by_an_operation_that_keeps_its_scale(kind, reshaped):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)
    image = keras.Input((8, 8, 3))
    one = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    two = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(one)
    flat = keras.layers.Flatten() if reshaped else keras.layers.Identity()
    both = keras.layers.Flatten()(keras.layers.Concatenate()([flat(one), flat(two)]))
    other = keras.layers.Conv2D(4, 3)(keep(kind)(one))
    logits = keras.layers.Add()([keras.layers.Dense(3)(both), keras.layers.Dense(3)(keras.layers.Flatten()(other))])
    model = DynamicModel(Chain(keras.Model(image, logits), [], keras.layers.Identity()))
    model.build((None, 8, 8, 3))
    exported = lite.export(model, "int8", images)
    found = np.concatenate([lite.Interpreter(exported).run(each)["logits"] for each in images])
    wanted = np.asarray(model(images))
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
