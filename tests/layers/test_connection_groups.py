"""Connections between channel groups: the masked execution against a matrix product, costs, saving, errors."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.deciders import ChannelGates, Pattern
from keras_dynamic.layers import Chain, ConnectionGroups, DynamicModel, Residual
from tests.layers.grouped import as_numpy, conv, enliven, norm

X = np.random.default_rng(0).normal(size=(5, 6, 6, 4)).astype(np.float32)
OFF_DIAGONAL = np.float32([[1, 0, 1, 0, 0.5], [0, 0, 1, 1, 0.25]])  # of (0, 1) and (1, 0), by image


def built(layer, shape=X.shape):
    layer.build((None, *shape[1:]))
    return enliven(layer)


def pointwise(**arguments):
    """A 1x1 convolution of 4 channels to 4, in 2 by 2 groups, with a bias."""
    return ConnectionGroups(conv(4, 1, use_bias=True), 2, 2, **{"name": "mine", **arguments})


def test_a_pointwise_convolution_is_a_masked_matrix_product():
    layer = built(pointwise())
    assert layer.labels == ["0,1", "1,0"]
    kernel, bias = layer.convolution.get_weights()
    found = np.asarray(layer(X, list(OFF_DIAGONAL)))
    for image in range(5):
        first, second = OFF_DIAGONAL[:, image]
        mask = np.kron([[1, first], [second, 1]], np.ones((2, 2)))
        np.testing.assert_allclose(found[image], X[image] @ (kernel[0, 0] * mask) + bias, atol=1e-5)
    np.testing.assert_allclose(layer(X), X @ kernel[0, 0] + bias, atol=1e-5)
    np.testing.assert_allclose(layer(X, decisions=[1.0, 1.0]), layer(X), atol=1e-5)


@pytest.mark.parametrize(
    ("filters", "forced", "free"),
    [
        (6, "diagonal", [(0, 1), (1, 0), (1, 2)]),  # three output groups read the input groups 0, 1, 0
        (2, "diagonal", [(1, 0)]),
        (6, 1, [(1, 0), (1, 1), (1, 2)]),
        (6, 2, []),
    ],
)
def test_no_output_group_is_empty(filters, forced, free):
    layer = built(ConnectionGroups(conv(filters), 2, 2, forced=forced))
    assert layer.pairs == free
    assert {j for i in range(2) for j in range(filters // 2) if (i, j) not in free} == set(range(filters // 2))


def test_strided_blocks_between_what_comes_before_and_after():
    """The same as the convolution with blocks of zeros, whatever it does with its edges."""
    before, after = [norm(), layers.ReLU()], [norm(), layers.ReLU()]
    layer = built(ConnectionGroups(conv(6, 3, strides=2), 2, 3, before, after, forced=1))
    given = [1.0, 0.0]
    kernel = layer.convolution.get_weights()[0]
    kernel[:, :, 2:, 3:] = 0
    zeroed = layers.Conv2D(6, 3, 2, "same", use_bias=False)
    zeroed.build((None, 6, 6, 4))
    zeroed.set_weights([kernel])
    np.testing.assert_allclose(layer(X, decisions=given), layer.after(zeroed(layer.before(X))), atol=1e-5)
    assert (
        layer(X, decisions=given).shape == layer.compute_output_spec(keras.KerasTensor(X.shape)).shape == (5, 3, 3, 6)
    )


def test_gradients_reach_each_decision(gradient):
    layer = built(pointwise())
    slopes = gradient(lambda d: layer(X, [d[0], d[1]]), OFF_DIAGONAL)
    kernel = layer.convolution.get_weights()[0][0, 0]
    wanted = [(X[..., :2] @ kernel[:2, 2:]).sum(axis=(1, 2, 3)), (X[..., 2:] @ kernel[2:, :2]).sum(axis=(1, 2, 3))]
    np.testing.assert_allclose(slopes, wanted, rtol=1e-3, atol=1e-3)


def test_each_connection_costs_its_block():
    unit = Residual(ConnectionGroups(conv(4, 3, use_bias=True), 2, 2, [conv(4, 1)], [norm()]), name="unit")
    x = keras.KerasTensor((None, 6, 6, 4))
    unit.build(x.shape)
    assert unit.group_names == ("unit[0,1]", "unit[1,0]")
    node = unit.cost_node(x, None, tuple(map(cost.Guard, unit.group_names)))
    decisions = {"unit[0,1]": np.array([0, 1, 1]), "unit[1,0]": np.array([0, 0, 1])}
    before, block = 36 * 4 * 4, 36 * 9 * 2 * 2
    assert cost.given(node, decisions).tolist() == [before + 2 * block, before + 3 * block, before + 4 * block]
    assert node.total_macs == cost.tree(unit, x).total_macs == before + 4 * block
    assert node.total_parameters == unit.count_params()


def model(decider):
    stem = [layers.Rescaling(1 / 127.5, -1), conv(4)]
    unit = Residual(ConnectionGroups(conv(4), 2, 2, after=[norm()]), None, "relu", name="unit")
    made = DynamicModel(Chain(stem, [unit], [layers.GlobalAveragePooling2D(), layers.Dense(3)]), decider)
    made.build((None, 8, 8, 3))
    enliven(made.chain)
    return made


@pytest.mark.parametrize("data_dependent", [True, False])
def test_channel_gates_decide_it(data_dependent, toy_images, tmp_path):
    made = model(ChannelGates(data_dependent=data_dependent, hidden=4))
    images = toy_images(5)
    outcome = made.outcome(images, training=False)
    assert made.decision_names == list(as_numpy(outcome.decisions)) == ["unit[0,1]", "unit[1,0]"]
    x = made.chain.stem(images)
    x = made.chain.units[0](x, groups=list(outcome.decisions.values()))
    np.testing.assert_allclose(outcome.logits, made.chain.head(x), atol=1e-5)
    whole = made.cost_tree.total_macs
    np.testing.assert_allclose(np.asarray(outcome.cost) * whole, cost.given(made.cost_tree, outcome.decisions))
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images), made(images))
    assert again.cost_tree == made.cost_tree


def test_known_decisions_cost_and_answer_as_masks(toy_images):
    made, images = model(Pattern({"unit[0,1]": 0})), toy_images(5)
    given = made.chain.units[0](made.chain.stem(images), groups=[0.0, 1.0])
    np.testing.assert_allclose(made(images), made.chain.head(given), atol=1e-5)


def test_units_are_locked_if_their_connections_are_alike():
    def chain(granularity):
        bodies = [ConnectionGroups(conv(4), 2, 2), ConnectionGroups(conv(4), granularity, 2)]
        units = [Residual(body, name=name) for body, name in zip(bodies, "ab", strict=True)]
        return Chain([conv(4)], units, [layers.GlobalAveragePooling2D(), layers.Dense(3)])

    def gated(granularity):
        return DynamicModel(chain(granularity), ChannelGates(hidden=4, locked={"both": ["a", "b"]}))

    alike = gated(2)
    alike.build((None, 8, 8, 3))
    assert alike.decision_names == ["both[0,1]", "both[1,0]"]
    message = "'a' with 2 by 2 connections of 2 to 2 channels, forced diagonal and 'b' with 4 by 2 connections of 1"
    with pytest.raises(ValueError, match=message):
        gated(1).build((None, 8, 8, 3))


def test_in_half_precision_decisions_are_exact():
    layer = built(pointwise())
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = built(pointwise())
    finally:
        keras.config.set_dtype_policy(policy)
    found = half(X, list(OFF_DIAGONAL))
    assert found.dtype == "float16"
    np.testing.assert_allclose(np.float32(found), layer(X, list(OFF_DIAGONAL)), atol=0.05)


def test_saving_keeps_everything(tmp_path):
    x = keras.Input((6, 6, 4))
    layer = ConnectionGroups(conv(6), 2, 3, [layers.ReLU()], [norm()], forced=1)
    made = enliven(keras.Model(x, layer(x)))
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert (again.labels, again.described) == (layer.labels, "2 by 2 connections of 2 to 3 channels, forced 1")
    np.testing.assert_array_equal(again(X, list(OFF_DIAGONAL)), layer(X, list(OFF_DIAGONAL)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConnectionGroups(layers.ReLU()), "convolution must be a Conv2D, got ReLU"),
        (
            lambda: ConnectionGroups(conv(4, activation="relu", name="bent")),
            "no activation, got 'bent' with groups=1 and activation 'relu'; give the activation as `after`",
        ),
        (lambda: ConnectionGroups(conv(4, groups=2)), "must have groups=1 and no activation, got .* with groups=2"),
        (lambda: ConnectionGroups(conv(4), 0), "input_granularity must be a positive int, channels per group"),
        (
            lambda: ConnectionGroups(conv(4), 2, 2.0),
            "output_granularity must be a positive int, filters",
        ),
        (
            lambda: pointwise(forced="diag"),
            "forced must be a positive int, input groups, or 'diagonal', got 'diag'",
        ),
        (lambda: pointwise(after=[norm()], before="relu"), "before must be a Keras layer or a list of layers"),
        (lambda: built(ConnectionGroups(conv(4), 3, name="mine")), "must divide the 4 input channels of 'mine', got 3"),
        (
            lambda: built(ConnectionGroups(conv(4), 2, 3, name="mine")),
            "must divide the 4 filters of 'mine', got 3",
        ),
        (lambda: built(pointwise(forced=3)), "at most the 2 input groups of 'mine', 4 channels by 2, got 3"),
        (
            lambda: built(pointwise())(X, decisions=[1.0]),
            "each of the 2 connections of 'mine' that are not forced, got 1",
        ),
    ],
)
def test_what_cannot_be_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
