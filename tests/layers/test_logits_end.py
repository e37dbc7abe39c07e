"""Chains, exits, teachers and policies that end in probabilities are refused in one sentence."""

import keras
import pytest

from keras_dynamic import deciders, layers, methods, models

L = keras.layers


def functional(end):
    features = keras.Input((4,))
    return keras.Model(features, end(L.Dense(3)(features)))


ENDS = {
    "dense": lambda: [L.Flatten(), L.Dense(3, activation="softmax")],
    "layer": lambda: [L.Flatten(), L.Dense(3), L.Softmax()],
    "activation": lambda: [L.Flatten(), L.Dense(3), L.Activation("sigmoid"), L.Dropout(0.1)],
    "functional": lambda: [L.GlobalAveragePooling2D(), functional(keras.ops.softmax)],
    "nested": lambda: [keras.Sequential([L.Flatten(), L.Dense(3, activation="log_softmax")])],
}


def chain(head, exits=()):
    body = [L.Conv2D(4, 3, padding="same")]
    return layers.Chain(L.Conv2D(4, 3), [layers.Residual(body, name="a")], head, exits)


def linear():
    return [L.Flatten(), L.Dense(3)]


@pytest.mark.parametrize("end", ENDS)
def test_a_chain_that_ends_in_probabilities(end):
    with pytest.raises(
        ValueError, match=r"a chain must end in logits, got \w+ '\w+'.* a \w*(softmax|sigmoid); leave it"
    ):
        chain(ENDS[end]())


@pytest.mark.parametrize("end", ENDS)
def test_an_exit_that_ends_in_probabilities(end):
    with pytest.raises(ValueError, match="exit 'early' must end in logits"):
        chain(linear(), [layers.Exit(ENDS[end](), after="a", name="early")])


def test_a_head_that_hands_on_what_the_stem_ends_in():
    with pytest.raises(ValueError, match=r"a chain must end in logits, got Dense .*softmax"):
        layers.Chain([L.Flatten(), L.Dense(3, activation="softmax")], [], [L.Identity()])
    head = layers.LeafHead(ENDS["dense"](), "scale1")
    with pytest.raises(ValueError, match=r"a chain must end in logits, got Dense .*softmax"):
        layers.Chain(L.Conv2D(4, 3), [], head)


def test_ends_in_logits_of_features_with_any_function():
    layers.Chain(L.Conv2D(4, 3), [], [L.Conv2D(3, 1, activation="relu"), L.GlobalAveragePooling2D()])
    layers.Chain([L.Dense(4, activation="softmax"), L.Flatten()], [], [L.Dense(3)])
    layers.Chain(L.Conv2D(4, 3), [], [L.GlobalAveragePooling2D(), functional(lambda x: x)])


def test_a_teacher_that_ends_in_probabilities():
    teacher = keras.Sequential([L.Flatten(), L.Dense(3, activation="softmax")], name="teacher")
    with pytest.raises(ValueError, match="teacher 'teacher' must end in logits"):
        methods.ActivationGating(chain(linear()), teacher=teacher)


def test_a_policy_that_ends_in_probabilities():
    network = keras.Sequential([L.Flatten(), L.Dense(1, activation="sigmoid")], name="policy")
    model = layers.DynamicModel(chain(linear()), deciders.Policy(network))
    with pytest.raises(ValueError, match="policy network 'policy' must end in logits"):
        model.build((None, 8, 8, 3))


def test_a_guideline_that_ends_in_probabilities():
    guideline = keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(3, activation="softmax")], name="sgnet")
    units = [layers.Residual([L.Conv2D(4, 3, padding="same")], name=name) for name in "ab"]
    network = layers.Chain(L.Conv2D(4, 3, padding="same"), units, linear())
    model = methods.SGAD(network, guideline=guideline)
    with pytest.raises(ValueError, match="guideline 'sgnet' must end in logits"):
        model.build((None, 8, 8, 3))


def test_a_cascade_of_dynamic_networks_needs_no_look_at_their_ends():
    first = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(2, 3), L.Flatten(), L.Dense(3)])
    network = layers.DynamicModel(chain(linear()), name="large")
    network.build((None, 8, 8, 3))
    assert models.cascade([first, network]).decision_names == ["large"]
