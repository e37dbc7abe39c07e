"""Users' classifiers taken at their logits, whatever their end looks like."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.logits_end import logits_model

X = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)


def sequential(*ends):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), *ends], name="net")


def functional(end):
    """A functional model that ends in what `end` makes of the logits."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    return keras.Model(image, end(layers.Dense(4, name="answer")(layers.Flatten()(image))), name="net")


def inner(*ends):
    return keras.Sequential([keras.Input((192,)), *ends], name="inner")


def two_heads():
    image = keras.Input((8, 8, 3))
    y = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(4)(y), layers.Dense(4)(y)], name="net")


SOFTMAX = [
    lambda: sequential(layers.Dense(4, activation="softmax")),
    lambda: sequential(layers.Dense(4), layers.Softmax()),
    lambda: sequential(layers.Dense(4), layers.Activation("softmax", dtype="float32")),
    lambda: sequential(layers.Dense(4), layers.Activation(keras.ops.softmax)),
    lambda: sequential(inner(layers.Dense(4, activation="softmax"))),
    lambda: sequential(inner(layers.Dense(4)), layers.Softmax()),
    lambda: keras.Sequential([keras.Input((8, 8, 3)), sequential(layers.Dense(4, activation="softmax"))], name="net"),
    lambda: functional(layers.Softmax()),
    lambda: functional(keras.ops.softmax),
    lambda: functional(lambda y: keras.activations.softmax(y)),
    lambda: functional(lambda y: layers.Dense(4, activation="softmax")(y)),
    lambda: functional(inner_functional),
    lambda: steps(layers.TimeDistributed(layers.Dense(3, activation="softmax"))),
    lambda: steps(layers.TimeDistributed(layers.Dense(3)), layers.TimeDistributed(layers.Softmax())),
    lambda: steps(
        layers.Reshape((8, 6, 4)), layers.TimeDistributed(layers.TimeDistributed(layers.Dense(3, activation="softmax")))
    ),
    lambda: steps(
        layers.TimeDistributed(keras.Sequential([keras.Input((24,)), layers.Dense(3, activation="softmax")], name="in"))
    ),
]


def steps(*ends):
    """A model that answers at each step."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Reshape((8, 24)), *ends], name="net")


def inner_functional(y):
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(4, activation="softmax")(x))(y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", SOFTMAX)
def test_a_softmax_is_taken_off(make):
    network = make()
    before = keras.ops.convert_to_numpy(network(X))
    np.testing.assert_allclose(before.sum(axis=-1), 1.0, rtol=1e-5)
    logits = logits_model(network)
    assert logits.name == "net"
    np.testing.assert_allclose(keras.ops.softmax(logits(X)), before, atol=1e-6)
    assert np.abs(keras.ops.convert_to_numpy(logits(X)).sum(axis=-1) - 1).max() > 1e-3
    np.testing.assert_array_equal(network(X), before)  # the user's network stays as it is


LOGITS = [
    lambda: sequential(layers.Dense(4)),
    lambda: sequential(layers.Dense(4, activation="linear")),
    lambda: sequential(layers.Dense(4), layers.Activation("linear", dtype="float32")),
    lambda: sequential(layers.Dense(4), layers.Dropout(0.1)),
    lambda: sequential(layers.Dense(8), layers.Reshape((2, 4)), layers.GlobalAveragePooling1D(), layers.Dense(4)),
    lambda: sequential(inner(layers.Dense(4))),
    lambda: sequential(layers.Dense(4), layers.BatchNormalization()),
    lambda: functional(lambda y: y),
    lambda: functional(lambda y: layers.Add()([y, layers.Dense(4)(y)])),
    lambda: functional(lambda y: y + layers.Dense(4)(y)),
    lambda: pooled(layers.Conv2D(4, 1)),
    lambda: pooled(layers.Conv2D(4, 1, activation="relu")),  # pooled features are logits too
    lambda: pixels(layers.UpSampling2D(2, interpolation="bilinear")),
    lambda: pixels(layers.Resizing(16, 16)),
    lambda: pixels(layers.Cropping2D(1)),
    lambda: pixels(layers.CenterCrop(4, 4)),
    lambda: pixels(layers.Conv2DTranspose(3, 2)),
    lambda: steps(layers.TimeDistributed(layers.Dense(3))),
    lambda: steps(layers.Conv1D(3, 1)),
    lambda: steps(layers.Conv1D(3, 1), layers.UpSampling1D(), layers.Cropping1D(1)),
    lambda: steps(layers.Conv1DTranspose(3, 1), layers.GlobalAveragePooling1D()),
    lambda: steps(layers.Reshape((4, 4, 4, 3)), layers.Conv3D(3, 1), layers.GlobalAveragePooling3D()),
]


def pooled(convolution):
    image = [keras.Input((8, 8, 3)), convolution, layers.GlobalAveragePooling2D()]
    return keras.Sequential(image, name="net")


def pixels(*ends):
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1), *ends], name="net")


@pytest.mark.parametrize("make", LOGITS)
def test_logits_are_taken_as_they_are(make):
    network = make()
    assert logits_model(network) is network


OTHERS = [
    (lambda: sequential(layers.Dense(4, activation="sigmoid")), r"Dense 'dense\w*' with activation 'sigmoid'"),
    (lambda: sequential(layers.Dense(4, activation="relu")), r"Dense 'dense\w*' with activation 'relu'"),
    (lambda: sequential(layers.Dense(4), layers.ReLU()), r"ReLU 're_lu\w*'"),
    (
        lambda: sequential(layers.Dense(4), layers.Activation("tanh")),
        r"Activation 'activation\w*' with activation 'tanh'",
    ),
    (lambda: functional(keras.ops.sigmoid), r"Sigmoid 'sigmoid\w*'"),
    (lambda: functional(keras.ops.log_softmax), r"LogSoftmax 'log_softmax\w*'"),
    (
        lambda: pooled(layers.Conv2D(4, 1, activation="softmax")),
        r"Conv2D .*softmax', handed on by GlobalAveragePooling2D",
    ),
    (
        lambda: sequential(layers.Dense(4, activation="sigmoid"), layers.Dropout(0.5)),
        r"Dense .*sigmoid', handed on by Dropout",
    ),
    (lambda: sequential(inner(layers.Dense(4, activation="relu"))), r"Dense 'dense\w*' with activation 'relu'"),
    (lambda: steps(layers.TimeDistributed(layers.Dense(3, activation="softplus"))), r"Dense .* 'softplus'"),
    (
        lambda: sequential(layers.Dense(1, activation="sigmoid"), layers.Rescaling(50.0)),
        r"Dense .*sigmoid', handed on by Rescaling",
    ),
    (
        lambda: pixels(layers.Softmax(), layers.UpSampling2D()),
        r"Softmax 'softmax\w*', handed on by UpSampling2D",
    ),
]


@pytest.mark.parametrize(("make", "ending"), OTHERS)
def test_other_ends_are_an_error(make, ending):
    with pytest.raises(
        ValueError,
        match=rf"ends in {ending}.*; it must end in logits \(a linear end\) or in a softmax.*; of a regression, leave",
    ):
        logits_model(make(), ("softmax",))


def test_a_sigmoid_is_taken_off():
    for network in (sequential(layers.Dense(4, activation="sigmoid")), functional(keras.ops.sigmoid)):
        np.testing.assert_allclose(keras.ops.sigmoid(logits_model(network)(X)), network(X), atol=1e-6)


def test_a_network_called_elsewhere_keeps_its_own_end():
    network = sequential(layers.Dense(4, activation="softmax"))
    wanted = keras.ops.convert_to_numpy(logits_model(network)(X))
    other = keras.Input((8, 8, 3))
    keras.Model(other, network(other))
    network.layers[-1](keras.Input((192,)))  # the last layer has two more calls now, in other graphs
    np.testing.assert_allclose(logits_model(network)(X), wanted, atol=1e-6)


def test_a_dynamic_model_is_taken_as_it_is(toy_chain):
    model = DynamicModel(toy_chain())
    assert logits_model(model) is model


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: layers.Dense(4, name="layer"),
            r"must be a functional, sequential or dynamic Keras model, got Dense 'layer'",
        ),
        (lambda: "resnet", r"got str 'resnet'"),
        (lambda: keras.Sequential([layers.Dense(4)], name="unbuilt"), r"got Sequential 'unbuilt'"),
        (two_heads, r"'net' must have one input and one output, got 1 and 2"),
    ],
)
def test_what_has_no_visible_end_is_an_error(network, message):
    with pytest.raises(ValueError, match=message):
        logits_model(network())
