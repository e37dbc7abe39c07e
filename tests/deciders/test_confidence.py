"""Run on while not certain, over a chain whose x is {image, logits}."""

import keras
import numpy as np
import pytest

from keras_dynamic import ops
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import cascade

INF = np.inf


@pytest.fixture
def networks():
    """Three linear classifiers of three classes."""
    keras.utils.set_random_seed(0)

    def network(width, name):
        layers = [
            keras.layers.Flatten(),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(width),
            keras.layers.Dense(3),
        ]
        return keras.Sequential([keras.Input((8, 8, 3)), *layers], name=name)

    return [network(width, f"net{width}") for width in (2, 4, 8)]


def decided(model, images):
    return [keras.ops.convert_to_numpy(value) for value in model.outcome(images).decisions.values()]


def test_unfitted_everything_runs(networks, toy_images):
    model = cascade(networks)
    assert keras.ops.convert_to_numpy(model.decider.thresholds).tolist() == [INF, INF]
    assert not model.decider.thresholds.trainable
    np.testing.assert_array_equal(decided(model, toy_images()), np.ones((2, 6)))
    np.testing.assert_allclose(model.outcome(toy_images()).cost, 1.0, rtol=1e-6)


@pytest.mark.parametrize("measure", ["max_probability", "entropy", "margin"])
def test_an_image_goes_on_while_it_is_under_the_threshold(measure, networks, toy_images):
    images = toy_images(40)
    model = cascade(networks, confidence=measure)
    first = networks[0](images)
    both = first + networks[1](images)
    certain = [keras.ops.convert_to_numpy(ops.confidence(logits, measure)) for logits in (first, both)]
    thresholds = [np.quantile(certain[0], 0.7), np.quantile(certain[1], 0.4)]
    model.decider.set_thresholds(thresholds)
    going = certain[0] < np.float32(thresholds[0])
    np.testing.assert_array_equal(decided(model, images)[0], going)
    # Whoever stops stays stopped, however unsure it is later.
    np.testing.assert_array_equal(decided(model, images)[1], going & (certain[1] < np.float32(thresholds[1])))
    assert (going & (certain[1] >= thresholds[1])).any()
    assert (~going & (certain[1] < thresholds[1])).any()


def test_at_the_threshold_it_stops(networks, toy_images):
    model = cascade(networks, confidence="margin")
    certain = keras.ops.convert_to_numpy(ops.margin(networks[0](toy_images())))
    model.decider.set_thresholds([certain[2], INF])
    assert decided(model, toy_images())[0].tolist() == (certain < certain[2]).astype(float).tolist()


def test_the_probability_is_the_decision(networks, toy_images):
    model = cascade(networks)
    model.decider.set_thresholds([0.5, 0.6])
    outcome = model.outcome(toy_images(20))
    keras.tree.map_structure(np.testing.assert_array_equal, outcome.probabilities, outcome.decisions)


def test_another_leaf(networks, toy_images):
    chain = cascade(networks).chain
    decider = Confidence("margin", leaf="answers")
    DynamicModel(chain, decider).build((None, 8, 8, 3))
    decider.set_thresholds([1.0, 1.0])
    decision = decider.decide(0, {"answers": np.float32([[3, 0, 0], [0.5, 0, 0]])}, decider.begin(None, None))[0]
    assert keras.ops.convert_to_numpy(decision["net4"]).tolist() == [False, True]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6, 0.7], 0.5, [[0.5, 0.6]]])
def test_one_threshold_per_decision(values, networks):
    model = cascade(networks)
    with pytest.raises(ValueError, match="thresholds must be 2 numbers, one per decision, got"):
        model.decider.set_thresholds(values)


def test_an_unknown_measure_is_an_error():
    with pytest.raises(
        ValueError,
        match=r"a registered function or one of .*'max_prob' \(did you mean 'max_probability'\?\)",
    ):
        Confidence("max_prob")


def test_thresholds_stay_float32_under_mixed_precision(networks, toy_images):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = cascade(networks)
        certain = keras.ops.convert_to_numpy(ops.max_probability(networks[0](toy_images(40))))
        threshold = np.median(certain) + np.float32(1e-6)  # bfloat16 has no such number
        model.decider.set_thresholds([threshold, INF])
        outcome = model.outcome(toy_images(40))
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert (
        keras.ops.convert_to_numpy(outcome.decisions["net4"]).tolist() == (certain < threshold).astype(float).tolist()
    )
    sums = sum(keras.ops.convert_to_numpy(network(toy_images(40))) for network in networks)
    np.testing.assert_allclose(np.where(outcome.decisions["net8"][:, None] > 0, outcome.logits, sums), sums, atol=1e-5)
