"""What a decision is worth to the answers, and gates set by it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import ChannelGates, Confidence, PerUnitGates
from keras_dynamic.layers import Chain, DynamicModel, Exit, Residual
from keras_dynamic.training import decision_importance, rank_gates


def linear_chain(weights):
    """x + w_k x for each unit, on images of one pixel whose channels are the logits."""

    def body(weight):
        scaled = layers.Conv2D(3, 1, use_bias=False)
        scaled.build((None, 1, 1, 3))
        scaled.set_weights([weight * np.eye(3, dtype=np.float32)[None, None]])
        return [scaled]

    units = [Residual(body(weight), name=f"unit{k}") for k, weight in enumerate(weights, 1)]
    return Chain(layers.Rescaling(1.0), units, [layers.Flatten()])


IMAGES = np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 2.0]], np.float32).reshape(2, 1, 1, 3)
LABELS = np.array([0, 1])


def test_importance_is_how_far_the_margin_moves_per_mac():
    model = DynamicModel(linear_chain([0.5, 0.1]), PerUnitGates(data_dependent=False))
    model.build((None, 1, 1, 3))
    # The answer is x (1 + 0.5 d1) (1 + 0.1 d2), so the margin's slope is 0.5 * 1.1 margin(x) in d1 and
    # 1.5 * 0.1 margin(x) in d2; both units cost 9 MACs, so the second counts 0.15 / 0.55 of the first.
    found = decision_importance(model, [(IMAGES, LABELS)])
    assert found == pytest.approx({"unit1": 1.0, "unit2": 0.15 / 0.55})


def test_an_exit_is_a_decision_too():
    """Going on moves the answer from 3 times the image's to 1.5 times; were the exit to decide itself, by nothing."""
    chain = linear_chain([0.5])
    head = layers.Conv2D(3, 1, use_bias=False)
    head.build((None, 1, 1, 3))
    head.set_weights([3.0 * np.eye(3, dtype=np.float32)[None, None]])
    chain = Chain(chain.stem, chain.units, chain.head, exits=[Exit([head, layers.Flatten()], after="unit1", name="out")])
    model = DynamicModel(chain, Confidence())
    model.build((None, 1, 1, 3))
    assert decision_importance(model, [(IMAGES, LABELS)]) == {"out": 1.0}


def test_the_least_important_gate_is_the_first_to_close():
    model = DynamicModel(linear_chain([0.1, 0.5, 0.3]), PerUnitGates(data_dependent=False))
    model.build((None, 1, 1, 3))
    rank_gates(model, [(IMAGES, LABELS)], lowest=0.6, highest=0.8)
    chances = {name: float(value[0]) for name, value in model.outcome(IMAGES).probabilities.items()}
    assert chances == pytest.approx({"unit1": 0.6, "unit2": 0.8, "unit3": 0.7})


def test_groups_of_channels_each_have_a_rank(toy_images):
    from keras_dynamic.models import group_channels, resnet_cifar

    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    gates = ChannelGates(data_dependent=False)
    model = DynamicModel(group_channels(network, 4).chain, gates)
    model.build((None, 16, 16, 3))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    importance = rank_gates(model, [(images, np.arange(8) % 3)])
    outcome = model.outcome(images)
    chances = [float(keras.ops.convert_to_numpy(outcome.probabilities[name])[0]) for name in importance]
    assert list(np.argsort(chances)) == list(np.argsort(list(importance.values())))
    assert (min(chances), max(chances)) == pytest.approx((0.55, 0.95))


def test_gates_that_look_at_images_open_for_those_to_which_the_unit_matters():
    """The margin moves by the image's own size, which the gate sees as the mean of its channels."""
    rng = np.random.default_rng(0)
    sizes = rng.uniform(1.0, 20.0, 512)
    images = (np.array([3.0, 0.0, 0.0]) * sizes[:, None]).astype("float32").reshape(-1, 1, 1, 3)
    labels = np.zeros(512, int)
    model = DynamicModel(linear_chain([0.1, 0.5]), PerUnitGates())
    model.build((None, 1, 1, 3))
    rank_gates(model, [(images[:256], labels[:256]), (images[256:], labels[256:])], 0.6, 0.8, spread=0.5)
    for name, middle, reads in (("unit1", 0.6, images), ("unit2", 0.8, 1.1 * images)):
        logits = keras.ops.convert_to_numpy(model.decider.gates[name](reads))
        assert logits.std() == pytest.approx(0.5, rel=1e-3)
        assert logits.mean() == pytest.approx(np.log(middle / (1 - middle)), abs=1e-3)
        assert np.corrcoef(logits, np.log(sizes))[0, 1] > 0.95


def test_groups_are_told_apart_by_what_their_gate_sees(toy_images):
    from keras_dynamic.models import group_channels, resnet_cifar

    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    model = DynamicModel(group_channels(network, 4).chain, ChannelGates())
    model.build((None, 16, 16, 3))
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype(np.uint8)
    importance = rank_gates(model, [(images, np.arange(64) % 3)])
    assert list(importance) == model.decision_names
    decisions = model.outcome(images).decisions
    assert len(np.unique(np.stack([keras.ops.convert_to_numpy(decisions[name]) for name in importance], 1), axis=0)) > 8


def test_gates_with_memory_cannot_be_ranked(toy_images):
    from keras_dynamic.models import group_channels, resnet_cifar

    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    model = DynamicModel(group_channels(network, 4).chain, ChannelGates(memory=4, name="remembering"))
    model.build((None, 16, 16, 3))
    with pytest.raises(
        ValueError, match="rank_gates sets PerUnitGates and ChannelGates without memory, got decider 'r"
    ):
        rank_gates(model, [])


def test_no_batches_is_an_error():
    model = DynamicModel(linear_chain([0.1]), PerUnitGates())
    model.build((None, 1, 1, 3))
    with pytest.raises(ValueError, match="needs one batch or more"):
        rank_gates(model, [])
