"""What a decision is worth to the answers, and gates set by it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import ChannelGates, CombinedDecider, Confidence, FirstK, PerUnitGates
from keras_dynamic.layers import Chain, DynamicModel, Exit, Residual
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import cascade, resnet_cifar
from keras_dynamic.transform import decision_importance, group_channels, init_gates_by_importance


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
    """By hand: the unit gives 1.5 times the image, which is the last answer; the exit's is 3 times that.

    Going on moves the margin by 1.5 - 4.5 = -3 times the image's, with no MACs behind the exit (1 counts); the unit
    moves it by 0.5 times, for 9 MACs.
    """
    chain = linear_chain([0.5])
    head = layers.Conv2D(3, 1, use_bias=False)
    head.build((None, 1, 1, 3))
    head.set_weights([3.0 * np.eye(3, dtype=np.float32)[None, None]])
    chain = Chain(
        chain.stem, chain.units, chain.head, exits=[Exit([head, layers.Flatten()], after="unit1", name="out")]
    )
    model = DynamicModel(chain, CombinedDecider([PerUnitGates(), Confidence()]))
    model.build((None, 1, 1, 3))
    found = decision_importance(model, [(IMAGES, LABELS)])
    assert found == pytest.approx({"unit1": (0.5 / 9) / 3, "out": 1.0})


def test_the_least_important_gate_is_the_first_to_close():
    model = DynamicModel(linear_chain([0.1, 0.5, 0.3]), PerUnitGates(data_dependent=False))
    model.build((None, 1, 1, 3))
    init_gates_by_importance(model, [(IMAGES, LABELS)], lowest=0.6, highest=0.8)
    chances = {name: float(value[0]) for name, value in model.outcome(IMAGES).probabilities.items()}
    assert chances == pytest.approx({"unit1": 0.6, "unit2": 0.8, "unit3": 0.7})


def test_groups_of_channels_each_have_a_rank(toy_images):
    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    gates = ChannelGates(data_dependent=False)
    model = DynamicModel(group_channels(network, 4).chain, gates)
    model.build((None, 16, 16, 3))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    importance = init_gates_by_importance(model, [(images, np.arange(8) % 3)])
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
    init_gates_by_importance(model, [(images[:256], labels[:256]), (images[256:], labels[256:])], 0.6, 0.8, spread=0.5)
    for name, middle, reads in (("unit1", 0.6, images), ("unit2", 0.8, 1.1 * images)):
        logits = keras.ops.convert_to_numpy(model.decider.gates[name](reads))
        assert logits.std() == pytest.approx(0.5, rel=1e-3)
        assert logits.mean() == pytest.approx(np.log(middle / (1 - middle)), abs=1e-3)
        assert np.corrcoef(logits, np.log(sizes))[0, 1] > 0.95


def as_input(chain, name, images):
    """What a unit of a plain chain reads."""
    x = chain.stem(images)
    for unit in chain.units:
        if unit.name == name:
            return x
        x = unit(x)
    raise AssertionError(name)


def test_groups_are_told_apart_by_what_their_gate_sees(toy_images):
    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    model = DynamicModel(group_channels(network, 4).chain, ChannelGates())
    model.build((None, 16, 16, 3))
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype(np.uint8)
    importance = init_gates_by_importance(model, [(images, np.arange(64) % 3)])
    assert list(importance) == model.decision_names
    means = []
    for unit in model.chain.units:  # everything on: inputs are those of the plain network
        read = as_input(network.chain, unit.name, images)
        means += list(keras.ops.convert_to_numpy(model.decider.gates[unit.name](read)).mean(axis=0))
    assert list(np.argsort(means)) == list(np.argsort(list(importance.values())))
    assert (min(means), max(means)) == pytest.approx((np.log(0.55 / 0.45), np.log(0.95 / 0.05)), abs=1e-2)
    decisions = model.outcome(images).decisions
    assert len(np.unique(np.stack([keras.ops.convert_to_numpy(decisions[name]) for name in importance], 1), axis=0)) > 8


def test_gates_with_memory_cannot_be_ranked(toy_images):
    network = resnet_cifar(8, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    model = DynamicModel(group_channels(network, 4).chain, ChannelGates(memory=4, name="remembering"))
    model.build((None, 16, 16, 3))
    with pytest.raises(
        ValueError, match="init_gates_by_importance sets gates without memory, got 'remembering' with memory=4"
    ):
        init_gates_by_importance(model, [])


def test_no_batches_is_an_error():
    model = DynamicModel(linear_chain([0.1]), PerUnitGates())
    model.build((None, 1, 1, 3))
    with pytest.raises(ValueError, match="got 1 decisions and 0 batches"):
        init_gates_by_importance(model, [])


def test_deciders_without_gates_cannot_be_ranked():
    model = DynamicModel(linear_chain([0.1]), FirstK(1))
    model.build((None, 1, 1, 3))
    message = r"init_gates_by_importance sets PerUnitGates and ChannelGates, got decider 'first_k\w*' of type FirstK"
    with pytest.raises(ValueError, match=message):
        init_gates_by_importance(model, [(IMAGES, LABELS)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lowest": 0.0}, "lowest and highest must be probabilities"),
        ({"highest": 1.0}, "lowest and highest must be probabilities"),
        ({"lowest": 0.9, "highest": 0.2}, "in this order, got 0.9 and 0.2"),
        ({"lowest": "a"}, "lowest must be a non-negative number, got 'a'"),
        ({"spread": -1}, "spread must be a positive number, got -1"),
    ],
)
def test_numbers_out_of_range(arguments, message):
    model = DynamicModel(linear_chain([0.1]), PerUnitGates())
    model.build((None, 1, 1, 3))
    with pytest.raises(ValueError, match=message):
        init_gates_by_importance(model, [(IMAGES, LABELS)], **arguments)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (IMAGES, r"must be pairs of images .* and as many labels \[batch\], got ndarray as batch 1; e.g."),
        ((IMAGES,), "got tuple as batch 1"),
        ((IMAGES, LABELS[:1]), "y must be 2 labels, one per image, got 1"),
        ((IMAGES, np.eye(4)[LABELS]), r"labels must be class numbers \[n\], or one-hot \[n, 3\], got shape \[2, 4\]"),
        ((IMAGES, LABELS + 2), "labels must be class numbers from 0 to 2, got some from 2 to 3"),
        ((IMAGES, LABELS + 0.5), "whole numbers from 0 to 2, got fractions"),
    ],
    ids=["images", "no labels", "fewer", "one-hot", "others", "fractions"],
)
def test_batches_are_images_with_labels(batch, message):
    model = DynamicModel(linear_chain([0.1]), PerUnitGates())
    model.build((None, 1, 1, 3))
    with pytest.raises(ValueError, match=message):
        init_gates_by_importance(model, [(IMAGES, LABELS), batch])


def test_labels_may_stand_in_a_column():
    model = DynamicModel(linear_chain([0.5, 0.1]), PerUnitGates(data_dependent=False))
    model.build((None, 1, 1, 3))
    found = decision_importance(model, [(IMAGES, LABELS[:, None])])
    assert found == pytest.approx({"unit1": 1.0, "unit2": 0.15 / 0.55})


def test_a_model_that_is_not_built_is_built_by_ranking_and_may_be_built_after():
    chain = linear_chain([0.1, 0.5])
    chain.build((None, 1, 1, 3))
    model = ActivationGating(chain, PerUnitGates(data_dependent=False))
    init_gates_by_importance(model, [(IMAGES, LABELS)])
    weights = model.get_weights()
    model.build((None, 1, 1, 3))
    for value, kept in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(value, kept)
    with pytest.raises(ValueError, match=r"was built for images \[batch, 1, 1, 3\], .* got shape \(None, 2, 2, 3\)"):
        model.build((None, 2, 2, 3))


def test_networks_inside_units_cannot_be_ranked():
    inner = DynamicModel(linear_chain([0.1, 0.2]), PerUnitGates(), name="inner")
    other = DynamicModel(linear_chain([0.3]), name="other")
    for network in (inner, other):
        network.build((None, 1, 1, 3))
    model = cascade([other, inner])
    model.build((None, 1, 1, 3))
    with pytest.raises(ValueError, match="hold dynamic networks, as in a cascade"):
        decision_importance(model, [(IMAGES, LABELS)])


def test_where_nothing_matters_importance_is_nothing():
    model = DynamicModel(linear_chain([0.0, 0.0]), PerUnitGates())
    model.build((None, 1, 1, 3))
    assert decision_importance(model, [(IMAGES, LABELS)]) == {"unit1": 0.0, "unit2": 0.0}
