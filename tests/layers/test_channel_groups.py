"""Channels in groups: the masked execution against NumPy, gradients, costs, saving, errors."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import ChannelGroups, DynamicModel, Residual
from tests.layers.grouped import GROUP, GROUPS, HEAD, HIDDEN, STEM, WIDTH, as_numpy, body, chain, conv, enliven, norm

X = np.random.default_rng(0).normal(size=(5, 8, 8, WIDTH)).astype(np.float32)
D = np.float32([[1, 0, 1, 0, 1], [0, 0, 1, 1, 0], [1, 0, 0, 0, 1]])  # of groups 1 to 3, by image


def built(layer, shape=(None, 8, 8, WIDTH)):
    layer.build(shape)
    return enliven(layer)


def convolved(x, kernel):
    """A 3x3 convolution that keeps the size, in NumPy."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(i, j) for i in range(3) for j in range(3)]
    return sum(x[:, i : i + 8, j : j + 8] @ kernel[i, j] for i, j in taps)


def normed(x, batch_norm):
    gamma, beta, mean, variance = batch_norm.get_weights()
    return gamma * (x - mean) / np.sqrt(variance + batch_norm.epsilon) + beta


def by_numpy(layer, x, mask):
    """The body with a mask [batch, channels] on the channels between its convolutions."""
    (first, norm1, _), (second, norm2) = layer.expand.layers, layer.contract.layers
    hidden = np.maximum(normed(convolved(x, first.get_weights()[0]), norm1), 0)
    return normed(convolved(hidden * mask[:, None, None, :], second.get_weights()[0]), norm2)


@pytest.mark.parametrize("forced", [1, 2, 4])
def test_channels_of_groups_that_are_off_are_zeros(forced):
    layer = built(body(forced=forced))
    given = list(D[: GROUPS - forced])
    columns = np.stack([np.ones(5)] * forced + given, axis=1)
    wanted = by_numpy(layer, X, np.repeat(columns, HIDDEN // GROUPS, axis=1))
    np.testing.assert_allclose(layer(X, given), wanted, atol=1e-4)
    np.testing.assert_allclose(layer(X), by_numpy(layer, X, np.ones((5, HIDDEN))), atol=1e-4)


def test_one_number_decides_for_all_images():
    layer = built(body())
    for_all, by_image = [1.0, 0.0, 1.0], [np.ones(5), np.zeros(5), np.ones(5)]
    np.testing.assert_allclose(layer(X, decisions=for_all), layer(X, decisions=by_image), atol=1e-6)


def test_what_comes_before_always_runs():
    layer, plain = built(body(before=[conv(WIDTH, 1), layers.ReLU()])), body()
    plain.build((None, 8, 8, WIDTH))
    plain.set_weights([value for part in (layer.expand, layer.contract) for value in part.get_weights()])
    read = np.maximum(X @ layer.before.get_weights()[0][0, 0], 0)
    np.testing.assert_allclose(layer(X, list(D)), plain(read, list(D)), atol=1e-4)


def test_a_unit_adds_its_groups_to_its_shortcut():
    layer = built(body())
    for activation, act in ((None, lambda x: x), ("relu", lambda x: np.maximum(x, 0))):
        unit = Residual(layer, None, activation, name="unit")
        unit.build((None, 8, 8, WIDTH))
        assert unit.group_names == ("unit[1]", "unit[2]", "unit[3]")
        np.testing.assert_allclose(unit(X, groups=list(D)), act(X + np.asarray(layer(X, list(D)))), atol=1e-5)
        np.testing.assert_allclose(unit(X), act(X + np.asarray(layer(X))), atol=1e-5)


def test_gradients_reach_each_decision(gradient):
    """What a body gives is linear in its decisions: the slope is what the group adds."""
    layer = built(body())
    slopes = gradient(lambda d: layer(X, [d[0], d[1], d[2]]), D)
    for group in range(3):
        on, off = (np.array(D), np.array(D))
        on[group], off[group] = 1, 0
        added = np.asarray(layer(X, list(on))) - np.asarray(layer(X, list(off)))
        np.testing.assert_allclose(slopes[group], added.sum(axis=(1, 2, 3)), rtol=1e-3, atol=1e-2)
    assert np.abs(slopes).min() > 0.1


class TestChannelGroups(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            ChannelGroups,
            {
                "expand": layers.Conv2D(6, 3, padding="same", name="expand"),
                "contract": layers.Conv2D(4, 1, name="contract"),
                "before": layers.ReLU(name="before"),
                "granularity": 2,
                "forced": 2,
            },
            input_data=X,
            expected_output_shape=(5, 8, 8, 4),
            expected_num_trainable_weights=4,
            run_mixed_precision_check=False,  # the parts are made once, under one policy
        )


def test_saving_keeps_everything(tmp_path):
    x = keras.Input((8, 8, WIDTH))
    layer = body(granularity=2, forced=3, before=[conv(WIDTH, 1)])
    model = keras.Model(x, Residual(layer, None, "relu", name="unit")(x))
    enliven(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.get_layer("unit")
    assert (again.body.granularity, again.body.forced, again.body.groups) == (2, 3, 8)
    assert again.group_names == tuple(f"unit[{k}]" for k in range(3, 8))
    np.testing.assert_array_equal(loaded(X), model(X))
    decisions = [*D, *D[:2]]
    np.testing.assert_array_equal(again(X, groups=decisions), model.get_layer("unit")(X, groups=decisions))


def test_in_half_precision_decisions_are_exact():
    layer = built(body())
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = built(body())
    finally:
        keras.config.set_dtype_policy(policy)
    found = half(X, list(D))
    assert found.dtype == "float16"
    np.testing.assert_allclose(np.float32(found), layer(X, list(D)), atol=0.05)


def test_each_group_costs_its_share():
    unit = Residual(body(forced=2), layers.Conv2D(WIDTH, 1), name="unit")
    x = keras.KerasTensor((None, 8, 8, WIDTH))
    unit.build(x.shape)
    guards = tuple(cost.Guard(name) for name in unit.group_names)
    tree = cost.Node("net", children=(unit.cost_node(x, None, guards),))
    decisions = {"unit[2]": np.float32([0, 1, 0, 1]), "unit[3]": np.float32([0, 0, 1, 1])}
    shortcut = 64 * WIDTH * WIDTH
    wanted = np.array([2, 3, 3, 4]) * GROUP + shortcut
    assert cost.given(tree, decisions).tolist() == wanted.tolist()
    assert tree.total_macs == 4 * GROUP + shortcut
    assert tree.total_parameters == unit.count_params()
    np.testing.assert_allclose(cost.expected(tree, decisions), wanted / tree.total_macs, rtol=1e-6)
    half = cost.expected(tree, {name: np.float32([0.5]) for name in decisions})
    np.testing.assert_allclose(half, 3 * GROUP / tree.total_macs + shortcut / tree.total_macs, rtol=1e-6)
    assert cost.tree(unit, x).total_macs == tree.total_macs


def test_depthwise_convolutions_belong_to_the_groups_and_what_comes_before_does_not():
    expand = [conv(12, 1), norm(), layers.ReLU(6.0), layers.DepthwiseConv2D(3, 2, "same", use_bias=False)]
    layer = ChannelGroups(expand, [conv(4, 1)], granularity=3, before=[conv(6, 1)])
    x = keras.KerasTensor((None, 8, 8, WIDTH))
    layer.build(x.shape)
    node = layer.cost_node(x, [cost.Guard("a"), None, cost.Guard("b")])
    before, group = 64 * WIDTH * 6, (64 * 6 * 12 + 16 * 9 * 12 + 16 * 12 * 4) // 4
    decisions = {"a": np.array([0, 1, 1]), "b": np.array([0, 0, 1])}
    assert cost.given(node, decisions).tolist() == [before + k * group for k in (2, 3, 4)]


def test_in_a_chain_decisions_and_costs_agree():
    model = DynamicModel(chain(), Pattern({"unit1[2]": 0, "unit2[1]": 1, "unit2[3]": 0}))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    outcome = model.outcome(images)
    assert model.chain.group_names == [f"unit{u}[{k}]" for u in (1, 2) for k in (1, 2, 3)]
    assert model.decision_names == ["unit1[2]", "unit2[1]", "unit2[3]"]
    assert {name: value.tolist() for name, value in as_numpy(outcome.decisions).items()} == {
        "unit1[2]": [0] * 5,
        "unit2[1]": [1] * 5,
        "unit2[3]": [0] * 5,
    }
    whole = STEM + 8 * GROUP + HEAD
    np.testing.assert_allclose(outcome.cost, (whole - 2 * GROUP) / whole, rtol=1e-6)
    x = model.chain.stem(images)
    x = model.chain.units[0](x, groups=[1.0, 0.0, 1.0])
    x = model.chain.units[1](x, groups=[1.0, 1.0, 0.0])
    np.testing.assert_allclose(outcome.logits, model.chain.head(x), atol=1e-5)
    mixed = {"unit1[2]": D[0], "unit2[1]": D[1], "unit2[3]": D[2]}
    given = model.outcome(images, mixed)
    macs = cost.given(model.cost_tree, mixed)
    np.testing.assert_allclose(np.asarray(given.cost) * whole, macs, rtol=1e-6)
    assert macs.tolist() == [whole - int(n) * GROUP for n in (1 - D).sum(axis=0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"before": "relu"}, "before must be a Keras layer or a list of layers, got str 'relu'"),
        ({"granularity": 0}, "granularity must be a positive int, filters per group, got 0"),
        ({"granularity": 4.0}, r"granularity must be a positive int, filters per group, got 4\.0"),
        ({"granularity": True}, "granularity must be a positive int, filters per group, got True"),
        ({"forced": 0}, "forced must be a positive int, groups, got 0"),
        ({"forced": -1}, "forced must be a positive int, groups, got -1"),
        ({"forced": None}, "forced must be a positive int, groups, got None"),
    ],
)
def test_bad_numbers_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        body(**arguments)


def test_parts_are_layers():
    with pytest.raises(ValueError, match="contract must be a Keras layer or a list of layers, got int 8"):
        ChannelGroups([conv(16), layers.ReLU(), conv(8)], 8)
    with pytest.raises(ValueError, match="expand must be a Keras layer or a list of layers, got NoneType None"):
        ChannelGroups(None, [conv(8)])


def test_granularity_must_divide_the_filters():
    with pytest.raises(ValueError, match="granularity must divide the 16 filters of 'mine', got 5; take 4"):
        body(granularity=5, name="mine").build((None, 8, 8, WIDTH))
    with pytest.raises(ValueError, match="the 16 filters of 'mine', got 32; take 16"):
        body(granularity=32, name="mine").build((None, 8, 8, WIDTH))


def test_there_are_no_more_forced_groups_than_groups():
    with pytest.raises(ValueError, match="forced must be at most the 4 groups of 'mine', 16 filters by 4, got 5"):
        body(forced=5, name="mine").build((None, 8, 8, WIDTH))


def test_there_is_a_decision_for_each_group():
    with pytest.raises(ValueError, match="one for each of the 3 groups of 'mine' that are not forced, got 2"):
        built(body(name="mine"))(X, list(D[:2]))


def test_what_is_grouped_is_a_feature_map():
    with pytest.raises(
        ValueError, match="of type GlobalAveragePooling2D cannot be cut into channel groups; use Conv2D"
    ):
        ChannelGroups([layers.GlobalAveragePooling2D()], [layers.Dense(2)], 4, name="mine")


def test_what_follows_the_second_convolution_always_counts():
    """Three of four groups off: a quarter of both convolutions, and the depthwise one behind them whole."""
    body = ChannelGroups(
        [layers.Conv2D(12, 3, padding="same", use_bias=False)],
        [layers.Conv2D(6, 3, padding="same", use_bias=False), layers.DepthwiseConv2D(3, padding="same")],
        granularity=3,
        name="body",
    )
    body.build((None, 8, 8, 5))
    node = body.cost_node(keras.KerasTensor((None, 8, 8, 5)), [cost.Guard(f"g{k}") for k in (1, 2, 3)])
    found = cost.given(node, {f"g{k}": np.zeros(1) for k in (1, 2, 3)})
    pixels = 8 * 8 * 9
    assert found.tolist() == [pixels * (5 * 12 + 12 * 6) // 4 + pixels * 6]
    assert node.total_macs == pixels * (5 * 12 + 12 * 6) + pixels * 6


SIDES = {"input_granularity": 4, "output_granularity": 2}  # of 8 channels: two input groups and four output groups


def test_masks_on_input_and_output_channels():
    layer = built(body(**SIDES))
    assert layer.labels == ["in1", "1", "2", "3", "out1", "out2", "out3"]
    rng = np.random.default_rng(1)
    given = rng.integers(0, 2, (7, 5)).astype(np.float32)
    one = np.ones((1, 5), np.float32)
    read, middle, out = (
        np.repeat(np.concatenate([one, part]).T, width, axis=1)
        for part, width in ((given[:1], 4), (given[1:4], 4), (given[4:], 2))
    )
    wanted = by_numpy(layer, X * read[:, None, None], middle) * out[:, None, None]
    np.testing.assert_allclose(layer(X, list(given)), wanted, atol=1e-4)
    unit = Residual(layer, None, "relu", name="unit")
    assert unit.group_names[0] == "unit[in1]"
    assert unit.group_names[-1] == "unit[out3]"
    np.testing.assert_allclose(unit(X, groups=list(given)), np.maximum(X + wanted, 0), atol=1e-4)


def test_active_input_expansion_and_output_channels_multiply():
    """Herrmann et al., section 3.4: H W C_exp (C_in + 9 / s^2 + C_out / s^2) multiply-adds of a MobileNetV2 block."""
    expand = [conv(12, 1), norm(), layers.ReLU(6.0), layers.DepthwiseConv2D(3, 2, "same", use_bias=False)]
    layer = ChannelGroups(expand, [conv(6, 1), norm()], 3, input_granularity=4, output_granularity=2)
    layer.build((None, 8, 8, 8))
    labels = layer.labels
    assert labels == ["in1", "1", "2", "3", "out1", "out2"]
    node = layer.cost_node(keras.KerasTensor((None, 8, 8, 8)), [cost.Guard(label) for label in labels])
    decisions = {label: np.random.default_rng(k).integers(0, 2, 40) for k, label in enumerate(labels)}
    active = {
        "in": 4 + 4 * decisions["in1"],
        "exp": 3 + 3 * (decisions["1"] + decisions["2"] + decisions["3"]),
        "out": 2 + 2 * (decisions["out1"] + decisions["out2"]),
    }
    wanted = 64 * active["exp"] * (active["in"] + 9 / 4 + active["out"] / 4)
    assert cost.given(node, decisions).tolist() == wanted.tolist()
    assert (
        node.total_macs == 64 * 12 * (8 + 9 / 4 + 6 / 4) == cost.tree(layer, keras.KerasTensor((1, 8, 8, 8))).total_macs
    )
    assert node.total_parameters == layer.count_params()
    chances = {label: np.float32([0.5]) for label in labels}
    half = 64 * 7.5 * (6 + 9 / 4 + 4 / 4)  # independent decisions: the expectation of the product
    np.testing.assert_allclose(cost.expected(node, chances) * node.total_macs, half, rtol=1e-5)


def test_layers_behind_are_shared_out_among_output_groups():
    contract = [conv(6, 1), layers.DepthwiseConv2D(3, padding="same", use_bias=False)]
    layer = ChannelGroups([conv(12, 1)], contract, 12, output_granularity=3)
    layer.build((None, 8, 8, 5))
    node = layer.cost_node(keras.KerasTensor((None, 8, 8, 5)), [cost.Guard("out1")])
    all_on = 64 * (5 * 12 + 12 * 6 + 9 * 6)
    assert cost.given(node, {"out1": np.array([0, 1])}).tolist() == [all_on - 64 * (12 * 3 + 9 * 3), all_on]


def test_masks_at_the_ends_survive_saving(tmp_path):
    x = keras.Input((8, 8, WIDTH))
    model = keras.Model(x, Residual(body(**SIDES), None, "relu", name="unit")(x))
    enliven(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").get_layer("unit")
    decisions = [*D, *D, D[0]]
    np.testing.assert_array_equal(again(X, groups=decisions), model.get_layer("unit")(X, groups=decisions))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_granularity": 0}, "input_granularity must be a positive int, filters per group, got 0"),
        ({"output_granularity": 1.5}, "output_granularity must be a positive int, filters per group, got 1.5"),
        ({"input_granularity": 3}, "input_granularity must divide the 8 input channels of 'mine', got 3; take 2"),
        ({"output_granularity": 5}, "output_granularity must divide the 8 output channels of 'mine', got 5; take 4"),
        ({"input_granularity": 8, "forced": 2}, "forced must be at most the 1 groups of 'mine', 8 input channels by 8"),
    ],
)
def test_bad_groups_at_the_ends_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        body(name="mine", **arguments).build((None, 8, 8, WIDTH))


def test_what_makes_something_of_zeros_is_no_place_for_an_input_mask():
    with pytest.raises(ValueError, match="changes the zeros of input groups of 'mine' that are off"):
        ChannelGroups([norm(), conv(8)], [conv(8)], 4, input_granularity=4, name="mine")
