"""The masked execution agrees with running, image by image, only what the decisions ask for."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel, masked
from keras_dynamic.models import resnet_cifar


def only_what_is_chosen(chain, image, runs):
    """Logits of one image; a skipped unit's body is not called."""
    x = chain.stem(image[None])
    for unit in chain.units:
        skip = x if unit.shortcut is None else unit.shortcut(x)
        x = unit.activation(skip + unit.body(x) if runs[unit.name] else skip)
    return keras.ops.convert_to_numpy(chain.head(x))[0]


def liven(chain, seed=0):
    """Gives batch norms statistics of their own, so that skipping one shows."""
    rng = np.random.default_rng(seed)
    for variable in chain.variables:
        if any(part in variable.path for part in ("gamma", "moving_variance")):
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))
        elif any(part in variable.path for part in ("beta", "moving_mean")):
            variable.assign(rng.uniform(-0.3, 0.3, variable.shape))


def agree(model, images, outcome):
    chain = model.chain
    for k, image in enumerate(images):
        runs = {name: bool(outcome.decisions[name][k]) for name in model.decision_names}
        np.testing.assert_allclose(outcome.logits[k], only_what_is_chosen(chain, image, runs), atol=1e-4)
    decisions = {name: keras.ops.convert_to_numpy(value) for name, value in outcome.decisions.items()}
    macs = cost.given(model.cost_tree, decisions)
    np.testing.assert_allclose(outcome.cost, macs / model.cost_tree.total_macs, rtol=1e-6)
    return len(np.unique(np.stack(list(decisions.values())), axis=1).T)


@pytest.mark.parametrize("mask", ["product", "convex"])
def test_given_decisions(mask, toy_chain, toy_images):
    model = DynamicModel(toy_chain(mask=mask), PerUnitGates())
    images = toy_images(8)
    bits = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, 8).astype(np.float32)
    model.build((None, 8, 8, 3))
    outcome = model.outcome(images, dict(zip(model.decision_names, bits, strict=True)))
    assert agree(model, images, outcome) == 8


def test_a_networks_own_decisions(spread_gates):
    keras.utils.set_random_seed(0)
    chain = resnet_cifar(14, num_classes=5, width=4).chain
    model = DynamicModel(chain, PerUnitGates(open_probability=0.5))
    rng = np.random.default_rng(0)
    images = (rng.random((10, 32, 32, 3)) * rng.uniform(20, 255, (10, 1, 1, 3))).astype(np.uint8)  # of many colours
    model.build((None, 32, 32, 3))
    liven(chain)
    spread_gates(model, images)
    assert agree(model, images, model.outcome(images)) >= 4


def test_true_and_false_compute_one_side(toy_chain, toy_images):
    unit = toy_chain().units[0]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    np.testing.assert_array_equal(masked.run(unit, x, True), unit(x))
    np.testing.assert_array_equal(masked.run(unit, x, False), np.maximum(x, 0))
    np.testing.assert_array_equal(masked.run(unit, x, np.array([True, False])), unit(x, decision=np.float32([1, 0])))
