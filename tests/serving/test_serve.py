"""Serving in batches: the answers, stops and costs of the model, whatever the batches."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.cost import given
from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import exit_answers
from keras_dynamic.layers import Chain, DynamicModel, Exit
from keras_dynamic.models import Cascade, cascade
from keras_dynamic.ops import quantile_thresholds
from keras_dynamic.serving import serve, static_network, stopping_places
from tests.evaluation.exits import with_gates

ASIDE = 1e-4  # from the confidence of an image, which rounding might put on either side


@pytest.fixture
def with_exits(toy_chain, toy_images):
    """Of 12 images about four stop at each of two exits and at the end."""
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = DynamicModel(toy_chain(units=3, exits=exits), Confidence("margin"), name="exits")
    model.build((None, 8, 8, 3))
    answers = exit_answers(model, toy_images(12), "margin")
    thresholds = quantile_thresholds(answers.confidences, [2 / 3, 1 / 2])
    model.decider.set_thresholds(thresholds - ASIDE)
    return model


def dense(name, width, seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(3)(layers.Dense(width, "relu")(x)), name=name)


def agrees(model, images, served):
    outcome = model.outcome(images)
    decisions = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    np.testing.assert_allclose(served.logits, outcome.logits, atol=1e-5)
    names = model.decider.names if isinstance(model, Cascade) else model.chain.exit_names
    stopped = np.sum([decisions[name] for name in names], axis=0) if names else np.zeros(len(images))
    np.testing.assert_array_equal(served.stopped, stopped)
    np.testing.assert_array_equal(served.macs, given(model.cost_tree, decisions))
    everything = np.asarray(static_network(model)(images)).argmax(-1)
    np.testing.assert_array_equal(served.predictions_static, everything)
    assert served.seconds > 0 < served.seconds_static


def test_a_network_with_exits(with_exits, toy_images):
    images = toy_images(12)
    assert stopping_places(with_exits) == ["exit1", "exit2", "head"]
    served = serve(with_exits, [images[:5], images[5:10], images[10:]])
    agrees(with_exits, images, served)
    assert set(served.stopped) == {0, 1, 2}
    assert not static_network(with_exits).decision_names


def test_a_cascade_is_held_against_its_last_network_alone(toy_images):
    small, middle, large = dense("small", 2, 1), dense("middle", 4, 2), dense("large", 8, 3)
    model = cascade([small, middle, large])
    images = toy_images(12)
    model.decider.set_thresholds(model.fit_thresholds(images, quantiles=[0.75, 1 / 3]).thresholds - ASIDE)
    assert stopping_places(model) == ["small", "middle", "large"]
    assert static_network(model) is model.networks[-1]
    served = serve(model, iter([images[:8], images[8:]]))
    agrees(model, images, served)
    assert set(served.stopped) == {0, 1, 2}


@pytest.mark.ci
@pytest.mark.parametrize("exits", [True, pytest.param(False, marks=pytest.mark.ci)], ids=["beside exits", "alone"])
def test_gates(exits, toy_chain, toy_images, spread_gates):
    gates, images = PerUnitGates(), toy_images(12)
    model = with_gates(toy_chain, CombinedDecider([gates, Confidence()])) if exits else DynamicModel(toy_chain(), gates)
    model.build((None, 8, 8, 3))
    spread_gates(SimpleNamespace(decider=gates, outcome=model.outcome), images)
    if exits:
        answers = exit_answers(model, images)
        model.decider.deciders[1].set_thresholds(quantile_thresholds(answers.confidences, [2 / 3, 1 / 2]) - ASIDE)
    assert stopping_places(model) == (["exit1", "exit2", "head"] if exits else ["head"])
    served = serve(model, [images[:8], images[8:]])
    agrees(model, images, served)
    assert set(served.stopped) == ({0, 1, 2} if exits else {0})
    assert len(set(served.macs)) > 2


def test_what_decides_nothing_is_refused(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), name="plain")
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="or a network that decides something, got 'plain', which runs everything"):
        serve(model, [toy_images(2)])


def test_nothing_is_traced_again_for_a_smaller_batch(toy_chain, toy_images):
    class Counted(layers.Identity):
        calls = 0

        def call(self, x):
            Counted.calls += 1
            return x

    chain = toy_chain()
    model = DynamicModel(Chain(chain.stem, chain.units, [Counted(), *chain.head.layers]), PerUnitGates())
    model.build((None, 8, 8, 3))
    images, counts = toy_images(8), []
    for batches in ([images], [images[:3], images[3:6], images[6:]]):
        before = Counted.calls
        serve(model, batches)
        counts.append(Counted.calls - before)
    assert counts[0] == counts[1] > 0


def test_no_batches(with_exits):
    with pytest.raises(ValueError, match="serve takes at least one batch of images, got none"):
        serve(with_exits, [])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1e39])
def test_no_class_for_an_image_that_is_not_finite(wrong, with_exits, toy_images):
    images = np.array(toy_images(6), float)
    images[5, 0, 0, 0] = wrong
    with pytest.raises(ValueError, match="batch 1: images must be finite numbers, got NaN or infinity in image 2 of 3"):
        serve(with_exits, [images[:3], images[3:]])
