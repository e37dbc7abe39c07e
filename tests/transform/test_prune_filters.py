"""Filters of least weight are removed: which, what is left, what is refused."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import resnet_cifar
from keras_dynamic.transform import prune_filters


@pytest.fixture
def network(toy_chain):
    made = DynamicModel(toy_chain(units=2, width=8), name="plain")
    made.build((None, 8, 8, 3))
    return made


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def first(unit):
    """The kernel of a unit's first convolution."""
    return next(array(weight) for weight in unit.weights if weight.path.endswith("kernel"))


def test_the_smallest_filters_go(network, toy_images):
    kernel = first(network.chain.units[0])
    norms = np.abs(kernel).sum(axis=(0, 1, 2))
    small = prune_filters(network, {"unit1": 0.4})  # 3 of 8
    kept = np.sort(np.argsort(norms)[3:])
    np.testing.assert_array_equal(first(small.chain.units[0]), kernel[..., kept])
    assert small.cost_tree.total_macs == network.cost_tree.total_macs - 3 * 64 * 9 * 8 * 2
    # what is left is the network in which the removed filters give zeros, batch norm's offset included
    norm = network.chain.units[0].body.layers[1]
    for weight in (norm.gamma, norm.beta):
        values = array(weight).copy()
        values[np.argsort(norms)[:3]] = 0
        weight.assign(values)
    images = toy_images(4)
    np.testing.assert_allclose(array(small(images)), array(network(images)), atol=1e-5)


def test_by_stage_and_for_all():
    network = resnet_cifar(8, 3)
    network.build((None, 32, 32, 3))
    small = prune_filters(network, {"stage2": 0.5, "stage3_unit1": 0.25})
    assert [first(unit).shape[-1] for unit in small.chain.units] == [16, 16, 48]
    assert [first(unit).shape[-1] for unit in prune_filters(network, 0.999).chain.units] == [1, 1, 1]


def test_it_can_be_trained_on(network, toy_images):
    small = prune_filters(network, 0.5)
    small.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = first(small.chain.units[0])
    small.fit(toy_images(16), np.arange(16) % 3, verbose=0)
    assert np.abs(first(small.chain.units[0]) - before).max() > 0


@pytest.mark.parametrize(
    ("share", "by", "words"),
    [
        ({"unit3": 0.5}, "l1", r"share names 'unit3', which is neither a unit nor a stage \(did you mean"),
        (1.0, "l1", "share must be at least 0 and under 1, got 1.0"),
        (-0.1, "l1", "share must be a non-negative number, got -0.1"),
        (0.5, "l2", r"by must be one of \('l1',\), got 'l2'"),
    ],
)
def test_what_is_refused(share, by, words, network):
    with pytest.raises(ValueError, match=words):
        prune_filters(network, share, by)


def test_a_network_that_decides_is_refused(toy_chain):
    gated = DynamicModel(toy_chain(), PerUnitGates(), name="gated")
    gated.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="prune_filters takes a built network in which everything runs, got 'gated'"):
        prune_filters(gated, 0.5)
