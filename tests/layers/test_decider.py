"""The decider's contract: what a user's own decider gets and gives, and binding."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import Chain, Decider, DynamicModel, Residual
from keras_dynamic.layers.decider import check_names


class BrightThenAlternate(Decider):
    """Runs the first unit for bright images, and each next one where the one before was skipped."""

    def choose(self, chain):
        return chain.skippable_names[:2]

    def begin(self, image, x, training=None):
        return keras.ops.mean(keras.ops.cast(image, "float32"), axis=(1, 2, 3)) > 127.5

    def decide(self, k, x, carry, training=None):
        name = self.unit_names[k]
        if name not in self.names:
            return {}, {}, carry
        return {name: carry}, {name: keras.ops.cast(carry, "float32") * 0.5}, keras.ops.logical_not(carry)

    def begin_nodes(self):
        return [cost.Node("brightness", 11)]

    def unit_nodes(self, k):
        return [cost.Node("question", 3)] if self.unit_names[k] in self.names else []


def test_a_users_decider(toy_chain):
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 255, 100, 200)])
    model = DynamicModel(toy_chain(), BrightThenAlternate())
    outcome = model.outcome(images)
    assert model.decision_names == ["unit1", "unit2"]
    assert keras.ops.convert_to_numpy(outcome.decisions["unit1"]).tolist() == [0, 1, 0, 1]
    assert keras.ops.convert_to_numpy(outcome.decisions["unit2"]).tolist() == [1, 0, 1, 0]
    assert keras.ops.convert_to_numpy(outcome.probabilities["unit1"]).tolist() == [0, 0.5, 0, 0.5]
    unit, rest = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12 + 11 + 2 * 3
    assert model.cost_tree.total_macs == 3 * unit + rest
    np.testing.assert_allclose(outcome.cost, (2 * unit + rest) / (3 * unit + rest), rtol=1e-6)


def test_before_binding_there_is_no_tree():
    with pytest.raises(ValueError, match="decider 'mine' is not bound to a chain yet"):
        _ = Decider(name="mine").tree


@pytest.mark.parametrize("units", [2, 3])
def test_one_decider_per_chain(toy_chain, units):
    gates = PerUnitGates()
    DynamicModel(toy_chain(), gates).build((None, 8, 8, 3))
    other = DynamicModel(toy_chain(units=units, width=2), gates)
    with pytest.raises(ValueError, match=r"already decides for another chain, with units .*one decider per chain"):
        other.build((None, 8, 8, 3))


def test_two_models_may_share_chain_and_decider(toy_chain, toy_images):
    chain, gates = toy_chain(), PerUnitGates()
    models = [DynamicModel(chain, gates) for _ in range(2)]
    logits = [keras.ops.convert_to_numpy(model(toy_images())) for model in models]
    np.testing.assert_array_equal(*logits)


def test_a_hidden_dynamic_network_is_an_error(toy_chain):
    inside = DynamicModel(toy_chain(classes=4), PerUnitGates(), name="inside")
    inside.build((None, 8, 8, 3))
    body = [inside, layers.Reshape((1, 1, 4)), layers.UpSampling2D(8), layers.Conv2D(3, 1)]
    chain = Chain(layers.Identity(), [Residual(body, name="unit")], layers.GlobalAveragePooling2D())
    with pytest.raises(ValueError, match=r"depends on decision 'unit1', which is not made; .*models\.cascade"):
        DynamicModel(chain).build((None, 8, 8, 3))


def test_decide_must_be_written():
    with pytest.raises(NotImplementedError, match=r"Decider must define decide\(k, x, carry, training\)"):
        Decider().decide(0, None, ())


def test_check_names_suggests(toy_chain):
    check_names(["unit1", "unit3"], toy_chain(), "always")
    with pytest.raises(
        ValueError,
        match=r"'unti2', which is not there \(did you mean 'unit2'\?\); units that can be decided are \['unit1'",
    ):
        check_names(["unti2"], toy_chain(), "always")
