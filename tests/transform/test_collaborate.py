"""Networks whose exits go on from one another's answers."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.evaluation import exit_macs
from keras_dynamic.layers import DynamicModel, Exit
from keras_dynamic.models import msdnet
from keras_dynamic.transform import collaborate


def head(classes=3):
    return [layers.GlobalAveragePooling2D(), layers.Dense(classes)]


def exits(*after):
    return [Exit(head(), unit, name=f"exit{k}") for k, unit in enumerate(after, 1)]


@pytest.fixture
def network(toy_chain):
    made = DynamicModel(toy_chain(units=3, exits=exits("unit1", "unit2")), name="exits")
    made.build((None, 8, 8, 3))
    return made


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def answers(outcome):
    return [array(each) for each in (*outcome.exits.values(), outcome.logits)]


def test_the_identity_sums_the_answers(network, toy_images):
    images = toy_images(4)
    plain = answers(network.outcome(images))
    together = answers(collaborate(network).outcome(images))
    for found, wanted in zip(together, np.cumsum(plain, axis=0), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_share_of_the_answer_before_is_added(network, toy_images):
    images = toy_images(4)
    first, second, third = answers(network.outcome(images))
    found = answers(collaborate(network, share=0.5).outcome(images))
    np.testing.assert_allclose(found[1], second + 0.5 * first, atol=1e-5)
    np.testing.assert_allclose(found[2], third + 0.5 * (second + 0.5 * first), atol=1e-5)


@pytest.mark.parametrize("share", [0, -0.5, "half"])
def test_shares_that_are_no_positive_number(network, share):
    with pytest.raises(ValueError, match="share must be a"):
        collaborate(network, share=share)


def test_a_small_network_adds_nothing_at_first(network, toy_images):
    images = toy_images(4)
    plain = answers(network.outcome(images))
    joined = collaborate(network, hidden=5)
    for found, wanted in zip(answers(joined.outcome(images)), plain, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    transfer = joined.chain.head.transfer
    transfer.layers[-1].kernel.assign(np.ones((5, 3)))
    hidden = np.maximum(plain[1] @ array(transfer.layers[0].kernel) / np.sqrt(1 + 1e-5), 0)
    wanted = plain[-1] + hidden.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers(joined.outcome(images))[-1], wanted, atol=1e-5)


def test_each_path_has_its_cost(network):
    added = 2 * (3 * 5 + 5 * 3)
    assert collaborate(network, hidden=5).cost_tree.total_macs == network.cost_tree.total_macs + added


def test_layers_are_the_networks_own(network):
    joined = collaborate(network)
    assert joined.chain.units == network.chain.units
    assert joined.chain.exits[0] is network.chain.exits[0]
    assert joined.chain.exits[1].head.head is network.chain.exits[1].head
    assert (joined.name, joined.image_shape) == ("exits", (None, 8, 8, 3))


def test_a_head_on_one_scale_collaborates_too():
    network = msdnet(3, blocks=2, channels=4, growth=2)
    network.build((None, 32, 32, 3))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    first, second = answers(network.outcome(images))
    found = answers(collaborate(network).outcome(images))
    np.testing.assert_allclose(found[1], first + second, atol=1e-5)


def test_it_is_saved(network, toy_images, fresh_process):
    joined = collaborate(network, hidden=5)
    joined.chain.head.transfer.layers[-1].kernel.assign(np.ones((5, 3)))
    images = toy_images(4)
    loaded = fresh_process(joined, images)
    np.testing.assert_allclose(loaded["logits"], joined.outcome(images).logits, atol=1e-5)


@pytest.mark.parametrize("hidden", [-1, True, 2.5, "100"])
def test_widths_that_cannot_be(hidden, network):
    with pytest.raises(ValueError, match=r"hidden must be a width of at least 0, got .*; 0 is the identity"):
        collaborate(network, hidden)


def test_networks_that_cannot_collaborate(network, toy_chain):
    plain = DynamicModel(toy_chain(), name="plain")
    plain.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="takes a built network with exits, got 'plain' with 0 exits"):
        collaborate(plain)
    with pytest.raises(ValueError, match="a built network with exits, got 'new' with 1 exits that is not built"):
        collaborate(DynamicModel(toy_chain(exits=exits("unit1")), name="new"))
    with pytest.raises(ValueError, match="the exits of 'exits' collaborate already; give it the plain network"):
        collaborate(collaborate(network))


def test_exits_of_different_classes(toy_chain):
    network = DynamicModel(toy_chain(exits=[Exit(head(4), "unit1", name="four")]))
    network.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="gives 3 classes and the exit before it 4; they must be the same"):
        collaborate(network)


def test_costs_of_stopping_include_the_paths(network):
    plain, joined = exit_macs(network), exit_macs(collaborate(network, hidden=5))
    assert [b - a for a, b in zip(plain, joined, strict=True)] == [0, 30, 60]
