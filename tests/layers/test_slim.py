"""Groups of a body as smaller layers: kept ones give what the masked body gives, and single ones add up to it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.layers import ChannelGroups
from keras_dynamic.layers.slices import slice_groups, sliced_paths
from tests.layers.grouped import conv, enliven, norm

SPEC = keras.KerasTensor((None, 8, 8, 6))
X = np.random.default_rng(0).normal(size=(3, 8, 8, 6)).astype(np.float32)


def relu6():
    return layers.ReLU(6.0)


def depthwise(**arguments):
    return layers.DepthwiseConv2D(3, **{"padding": "same", **arguments})


BODIES = {
    "basic": lambda: ([conv(12), norm(), layers.ReLU()], [conv(6), norm()], {}),
    "biases": lambda: ([conv(12, use_bias=True, activation="relu")], [conv(6, use_bias=True)], {}),
    "mobilenet": lambda: (
        [conv(12, 1), norm(), relu6(), depthwise(strides=2, use_bias=False), norm(), relu6()],
        [conv(6, 1), norm()],
        {},
    ),
    "depthwise_biases": lambda: ([conv(12, 1), depthwise(activation="relu")], [conv(6, 1)], {}),
    "strides_and_padding": lambda: (
        [layers.ZeroPadding2D(1), conv(12, strides=2, padding="valid"), norm(), layers.LeakyReLU()],
        [layers.ZeroPadding2D(1), conv(6, padding="valid"), norm(), layers.Dropout(0.5)],
        {},
    ),
    "before": lambda: ([conv(12), norm(), layers.ReLU()], [conv(6), norm()], {"before": [conv(5, 1), relu6()]}),
    "pre_activation": lambda: ([norm(), layers.ReLU(), conv(12), norm(), layers.ReLU()], [conv(6)], {}),
    "zeros_stay": lambda: (
        [conv(12), layers.Activation("tanh")],
        [depthwise(use_bias=False), layers.AveragePooling2D(2), layers.ReLU(), conv(6), norm()],
        {},
    ),
    "nested": lambda: (
        [keras.Sequential([conv(12), norm()]), layers.ReLU()],
        [keras.Sequential([conv(6), norm(), norm()])],
        {},
    ),
    "same_names": lambda: ([conv(12, name="conv")], [conv(6, name="conv")], {}),
}


@pytest.fixture(params=BODIES)
def body(request):
    expand, contract, arguments = BODIES[request.param]()
    made = ChannelGroups(expand, contract, granularity=3, name="mine", **arguments)
    made.build(SPEC.shape)
    return enliven(made)


def read(body, x=X):
    return x if body.before is None else body.before(x)


def masked(body, on):
    return body(X, decisions=[float(k in on) for k in range(1, 4)])


@pytest.mark.parametrize("kept", [[0], [0, 2], [0, 1, 3], [0, 1, 2, 3]], ids=str)
def test_kept_groups_give_what_the_masked_body_gives(body, kept):
    smaller = slice_groups(body, SPEC, kept)
    np.testing.assert_allclose(smaller(read(body)), masked(body, kept), atol=1e-5)
    assert smaller.count_params() <= body.count_params()


def test_single_groups_add_up_to_the_body(body):
    paths = sliced_paths(body, SPEC)
    assert len(paths) == 4
    each = [np.asarray(path(read(body))) for path in paths]
    for on in ([], [1], [2, 3], [1, 2, 3]):
        np.testing.assert_allclose(each[0] + sum(each[k] for k in on), masked(body, on), atol=1e-5)


def test_forced_groups_are_one_path():
    expand, contract, _ = BODIES["basic"]()
    body = ChannelGroups(expand, contract, granularity=3, forced=3)
    body.build(SPEC.shape)
    enliven(body)
    first, last = sliced_paths(body, SPEC)
    np.testing.assert_allclose(first(X), body(X, decisions=[0.0]), atol=1e-5)
    np.testing.assert_allclose(np.asarray(first(X)) + np.asarray(last(X)), body(X), atol=1e-5)


def test_parameters_are_those_of_the_kept_filters():
    expand, contract, _ = BODIES["mobilenet"]()
    body = ChannelGroups(expand, contract, granularity=3)
    body.build(SPEC.shape)
    wanted = 6 * 9 + 4 * 9 + 9 * 9 + 4 * 9 + 9 * 6 + 4 * 6  # of nine channels between six
    assert slice_groups(body, SPEC, [0, 1, 3]).count_params() == wanted


def test_weights_are_its_own():
    expand, contract, _ = BODIES["biases"]()
    body = ChannelGroups(expand, contract, granularity=3)
    body.build(SPEC.shape)
    enliven(body)
    before = body.get_weights()
    smaller = slice_groups(body, SPEC, [0, 1, 2, 3])
    for variable in smaller.weights:
        variable.assign(0 * variable)
    for value, kept in zip(body.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)


def groups_of(expand, contract):
    body = ChannelGroups(expand, contract, granularity=3, name="mine")
    body.build(SPEC.shape)
    return body


def last(*more):
    return [conv(6), *more]


@pytest.mark.parametrize(
    ("expand", "contract", "message"),
    [
        (
            lambda: [conv(12), layers.LayerNormalization(name="ln")],
            last,
            "'ln' of type LayerNormalization cannot",
        ),
        (
            lambda: [conv(12, groups=2, name="two")],
            last,
            "layer 'two' of type Conv2D cannot be cut into",
        ),
        (
            lambda: [conv(6), depthwise(depth_multiplier=2, name="dw")],
            last,
            "'dw' of type DepthwiseConv2D cannot",
        ),
        *(
            (
                lambda name=name: [conv(12), layers.Activation(name, name="mix")],
                last,
                "'mix' of type Activation, whose activation of one channel depends on others, cannot be cut",
            )
            for name in ("softmax", "log_softmax", "sparsemax", "glu")
        ),
        (
            lambda: [conv(12, activation=lambda x: keras.ops.softmax(x, axis=-1), name="own")],
            last,
            "'own' of type Conv2D, whose activation of one",
        ),
        (
            lambda: [conv(12), layers.BatchNormalization(axis=1, name="rows")],
            last,
            "'rows' of type BatchNormalization cannot .* BatchNormalization over the last axis",
        ),
        (
            lambda: [conv(12)],
            lambda: [layers.ReLU(negative_slope=0.1, threshold=1.0, name="r"), conv(6)],
            "'r' changes the zeros of groups",
        ),
        (lambda: [conv(12)], lambda: last(layers.Dense(6, name="d")), "'d' of type Dense cannot be cut into channel"),
        (lambda: [conv(12, name="a"), conv(12, name="b")], last, r"must have one Conv2D.*got 2 in \['a', 'b'\]"),
        (lambda: [conv(12)], lambda: [conv(6, name="a"), conv(6, name="b")], r"one Conv2D.*got 2 in \['a', 'b'\]"),
        (lambda: [layers.ReLU(name="r")], last, r"must have one Conv2D.*got 0 in \['r'\]"),
        (lambda: [depthwise(name="dw"), conv(12)], last, "'dw' comes before .* give it to 'mine' as `before`"),
        (
            lambda: [conv(12)],
            lambda: [layers.BatchNormalization(name="n"), conv(6)],
            "'n' changes the zeros",
        ),
        (lambda: [conv(12)], lambda: [depthwise(name="dw"), conv(6)], "'dw' changes the zeros of groups"),
        (lambda: [conv(12)], lambda: [layers.Activation("sigmoid", name="s"), conv(6)], "'s' changes the z"),
    ],
)
def test_what_cannot_be_cut_says_so_when_it_is_made(expand, contract, message):
    """Before it is trained, not when it is exported."""
    with pytest.raises(ValueError, match=message):
        groups_of(expand(), contract())


@pytest.mark.parametrize(
    ("contract", "named"),
    [
        (lambda: [conv(6), layers.ReLU(name="bend")], "bend"),
        (lambda: [conv(6, activation="relu", name="bent")], "bent"),
        (lambda: [conv(6), norm(), depthwise(name="further")], "further"),
    ],
)
def test_what_is_not_linear_behind_the_convolution_does_not_add_up(contract, named):
    body = enliven(groups_of([conv(12), layers.ReLU()], contract()))
    with pytest.raises(ValueError, match=rf"groups of 'mine' must add up.* with \['{named}'\] in `contract` they"):
        sliced_paths(body, SPEC)
    np.testing.assert_allclose(
        slice_groups(body, SPEC, [0, 2])(X), masked(body, [2]), atol=1e-5
    )  # all at once they may


@pytest.mark.parametrize("groups", [[], [4], [-1], [1, 0], [0, 0]], ids=str)
def test_groups_are_some_of_the_bodys(groups):
    with pytest.raises(ValueError, match=r"groups must be some of the 4 groups of 'mine', by number from 0 and rising"):
        slice_groups(groups_of([conv(12)], last()), SPEC, groups)
