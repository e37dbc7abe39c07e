"""Units that never run on held-out images are taken out, and the smaller network answers as the whole one."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import lite, models
from keras_dynamic.deciders import BinaryMaskNetwork, Never, PerUnitGates, Policy
from keras_dynamic.layers import Always, Chain, DynamicModel, Exit, Residual, Unit
from keras_dynamic.methods import SGAD
from keras_dynamic.transform import prune_dead_units

UNIT = 2 * 64 * 9 * 16  # MACs of a unit of the toy network
GATE = 4 * 16 + 16
NEVER = -1e4


def gated(chain, dead, images, **arguments):
    """A network whose gates open for none of any images in dead units, and for about half of these in the others."""
    model = DynamicModel(chain, PerUnitGates(**arguments))
    model.build((None, *images.shape[1:]))
    rng = np.random.default_rng(0)
    for name, gate in model.decider.gates.items():
        gate.kernel.assign(rng.normal(0, 1, gate.kernel.shape))
        gate.bias.assign([0.0, 0.0])
        logits = odds(model.outcome(images, training=False).probabilities[name])
        gate.bias.assign([0.0, NEVER if name in dead else -np.median(logits)])
    return model


def masked(chain, dead, images, **arguments):
    """The same with a BinaryMaskNetwork."""
    model = DynamicModel(chain, BinaryMaskNetwork(grid=2, **arguments))
    model.build((None, *images.shape[1:]))
    last = model.decider.network.layers[-1]
    last.kernel.assign(np.random.default_rng(0).normal(0, 1, last.kernel.shape))
    last.bias.assign(np.zeros(last.bias.shape))
    chances = model.outcome(images, training=False).probabilities
    center = odds(model.decider.tau)
    last.bias.assign([NEVER if name in dead else center - np.median(odds(value)) for name, value in chances.items()])
    return model


def odds(chances):
    chances = np.asarray(chances, np.float64)
    return np.log(chances) - np.log1p(-chances)


def check(model, pruned, dead, images):
    """Both answer and decide alike on these images, on which dead units are off and others neither on nor off."""
    expected, found = (each.outcome(images, training=False) for each in (model, pruned))
    assert not any(np.asarray(expected.decisions[name]).any() for name in dead)
    assert pruned.decision_names == [name for name in model.decision_names if name not in dead]
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    for name in pruned.decision_names:
        assert 0 < np.mean(expected.decisions[name]) < 1
        np.testing.assert_array_equal(found.decisions[name], expected.decisions[name])
        np.testing.assert_allclose(found.probabilities[name], expected.probabilities[name], atol=1e-6)
    assert found.exits.keys() == expected.exits.keys()
    for name, logits in expected.exits.items():
        np.testing.assert_allclose(found.exits[name], logits, atol=1e-5)


def lacks(model, pruned):
    """MACs and parameters that the smaller network lacks."""
    whole, rest = model.cost_tree, pruned.cost_tree
    return whole.total_macs - rest.total_macs, whole.total_parameters - rest.total_parameters


def parameters(model, dead):
    """Parameters of the dead units."""
    return sum(unit.count_params() for unit in model.chain.units if unit.name in dead)


@pytest.mark.ci
@pytest.mark.parametrize(
    "dead",
    [pytest.param(["unit1"], marks=pytest.mark.ci), ["unit2", "unit3"], pytest.param(["unit4"], marks=pytest.mark.ci)],
    ids=str,
)
def test_gates_of_other_units_decide_as_before(dead, toy_chain, toy_images):
    model = gated(toy_chain(units=4), dead, toy_images(30))
    before = model.get_weights()
    pruned = prune_dead_units(model, toy_images(30), batch_size=16)
    check(model, pruned, dead, toy_images(50, seed=1))
    assert [unit.name for unit in pruned.chain.units] == pruned.decision_names == list(pruned.decider.gates)
    gates = sum(model.decider.gates[name].count_params() for name in dead)
    assert lacks(model, pruned) == (len(dead) * (UNIT + GATE), parameters(model, dead) + gates)
    for variable in pruned.trainable_variables:
        variable.assign(keras.ops.ones_like(variable))
    for value, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)


@pytest.mark.parametrize("always", [None, pytest.param(("unit2",), marks=pytest.mark.ci)], ids=str)
def test_a_mask_network_loses_columns(always, toy_chain, toy_images):
    dead = ["unit1", "unit3"]
    model = masked(toy_chain(units=5), dead, toy_images(30), always=always, tau=0.4, noise=0.7)
    pruned = prune_dead_units(model, toy_images(30))
    check(model, pruned, dead, toy_images(50, seed=1))
    hidden = model.decider.hidden
    assert lacks(model, pruned) == (2 * (UNIT + hidden), parameters(model, dead) + 2 * (hidden + 1))
    expected = model.decider.get_config()
    assert pruned.decider.get_config() == expected
    assert (expected["tau"], expected["noise"]) == pytest.approx((0.4, 0.7))
    assert expected["always"] == (None if always is None else ["unit2"])  # None: the last unit, which is the last still


def test_free_gates(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates(data_dependent=False))
    model.build((None, 8, 8, 3))
    model.decider.gates["unit2"].logits.assign([0.0, NEVER])
    pruned = prune_dead_units(model, toy_images())
    assert pruned.decision_names == ["unit1", "unit3"]
    np.testing.assert_allclose(pruned(toy_images(9, seed=1)), model(toy_images(9, seed=1)), atol=1e-5)
    assert lacks(model, pruned) == (UNIT, parameters(model, ["unit2"]) + 2)


@pytest.mark.ci
def test_of_a_unit_that_changes_the_size_the_shortcut_stays(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 32, 32, 3)).astype("uint8")
    dead = ["stage1_unit1", "stage2_unit1", "stage2_unit2"]
    model = gated(models.resnet_cifar(14).chain, dead, images)
    pruned = prune_dead_units(model, images)
    check(model, pruned, dead, images[::-1])
    assert [unit.name for unit in pruned.chain.units] == [
        *("stage1_unit2", "stage2_unit1", "stage3_unit1", "stage3_unit2"),
    ]
    first, changing, second = 2 * 1024 * 9 * 16 * 16, 256 * 9 * 32 * (16 + 32), 2 * 256 * 9 * 32 * 32
    gates = (16 * 16 + 16) * 2 + 32 * 16 + 16
    assert lacks(model, pruned)[0] == first + changing + second + gates
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    check(model, loaded, dead, images)
    assert loaded.cost_tree == pruned.cost_tree


def test_the_smaller_network_is_exported(toy_chain, toy_images):
    model = masked(toy_chain(units=3), ["unit1"], toy_images(30))
    pruned = prune_dead_units(model, toy_images(30))
    exported = lite.export(pruned, outputs=("logits", "decisions"))
    verified = lite.verify(exported)
    assert verified.decisions == ("unit2",)
    assert verified.macs_all_on == pruned.cost_tree.total_macs
    runner = lite.Interpreter(exported)
    for image in toy_images(4, seed=1):
        np.testing.assert_allclose(runner.run(image)["logits"], model(image[None]), atol=1e-4)


def test_a_method_leaves_nothing_but_the_network(toy_chain, toy_images):
    chain = masked(toy_chain(units=4), ["unit2"], toy_images(30))
    model = SGAD(chain.chain, chain.decider)
    model.build((None, 8, 8, 3))
    pruned = prune_dead_units(model, toy_images(30))
    assert type(pruned) is DynamicModel
    assert pruned.count_params() == model.count_params() - model.guideline.count_params() - lacks(model, pruned)[1]
    check(model, pruned, ["unit2"], toy_images(50, seed=1))


def test_exits_move_to_the_unit_before(toy_chain, toy_images):
    exits = [Exit([layers.GlobalMaxPooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 2, 3)]
    dead = ["unit1", "unit3"]
    model = gated(toy_chain(units=4, exits=exits), dead, toy_images(30))
    pruned = prune_dead_units(model, toy_images(30))
    check(model, pruned, dead, toy_images(50, seed=1))
    assert [exit_.after for exit_ in pruned.chain.exits] == ["unit1", "unit2", "unit2"]  # nothing stands before unit1
    assert isinstance(pruned.chain.units[0], layers.Identity)
    assert [exit_.after for exit_ in model.chain.exits] == ["unit1", "unit2", "unit3"]


@pytest.mark.parametrize(
    ("stem", "activation", "left"),
    [
        ([layers.Conv2D(4, 1)], "relu", True),
        ([layers.Conv2D(4, 1), layers.LeakyReLU()], "relu", True),
        ([layers.Conv2D(4, 1), layers.ReLU(negative_slope=0.1)], "relu", True),
        ([layers.Conv2D(4, 1), layers.Activation("relu")], "relu", False),
        ([layers.Conv2D(4, 1, activation="relu")], "relu", False),
        ([layers.Conv2D(4, 1)], None, False),
        ([layers.Conv2D(4, 1), layers.ReLU()], "tanh", True),
    ],
    ids=["linear", "leaky", "sloping", "relu", "conv_relu", "no_activation", "tanh"],
)
def test_an_activation_stays_unless_it_changes_nothing(stem, activation, left, toy_images):
    units = [Residual([layers.Conv2D(4, 1)], None, activation, name=f"unit{k}") for k in (1, 2)]
    scale = layers.Normalization()
    scale.adapt(toy_images().astype("float32"))  # a state that is no weight, which the copy must have too
    copies = [layer.from_config(layer.get_config()) for layer in stem]
    chain = Chain([scale, *copies], units, [layers.GlobalMaxPooling2D(), layers.Dense(3)])
    model = gated(chain, ["unit1"], toy_images(30))
    pruned = prune_dead_units(model, toy_images(30))
    check(model, pruned, ["unit1"], toy_images(50, seed=1))
    assert [unit.name for unit in pruned.chain.units] == (["unit1", "unit2"] if left else ["unit2"])
    assert not any(unit.weights for unit in pruned.chain.units if not isinstance(unit, Residual))


def test_if_none_is_dead_it_is_a_copy(toy_chain, toy_images):
    for model in (gated(toy_chain(), [], toy_images(30)), DynamicModel(toy_chain())):
        model.build((None, 8, 8, 3))
        copy = prune_dead_units(model, toy_images(30))
        check(model, copy, [], toy_images(50, seed=1))
        assert copy.cost_tree == model.cost_tree
        assert not {id(variable) for variable in copy.variables} & {id(variable) for variable in model.variables}


@pytest.mark.parametrize("decider", [BinaryMaskNetwork, PerUnitGates, Never])
def test_if_all_are_dead_nothing_decides(decider, toy_chain, toy_images):
    model = DynamicModel(toy_chain(), decider())
    model.build((None, 8, 8, 3))
    if decider is not Never:
        model.decider.set_tau(1.0)
    pruned = prune_dead_units(model, toy_images())
    assert type(pruned.decider) is Always
    assert [unit.name for unit in pruned.chain.units] == (["unit3"] if decider is BinaryMaskNetwork else [])
    assert pruned.decision_names == []
    np.testing.assert_allclose(pruned(toy_images(9, seed=1)), model(toy_images(9, seed=1)), atol=1e-5)


@keras.saving.register_keras_serializable("tests")
class Halve(Unit):
    """x, or half of it."""

    def branch(self, x, training=None):
        return x

    def otherwise(self, x, training=None):
        return x / 2

    def cost_node(self, x, guard):
        return Residual(layers.Identity(), name=self.name).cost_node(x, guard)


def test_what_cannot_be_pruned_says_so(toy_chain, toy_images):
    images = toy_images()
    with pytest.raises(ValueError, match="takes a DynamicModel, got Sequential; wrap the network in Chain and"):
        prune_dead_units(keras.Sequential(), images)
    with pytest.raises(ValueError, match="model 'mine' is not built; call it on a batch of images first"):
        prune_dead_units(DynamicModel(toy_chain(), name="mine"), images)
    model = gated(toy_chain(), ["unit1"], images)
    with pytest.raises(ValueError, match=r"images must be held-out images, \[n, ...\], got none"):
        prune_dead_units(model, images[:0])
    small = DynamicModel(toy_chain(units=1))
    small.build((None, 8, 8, 3))
    cascade = models.cascade([small, model])
    cascade.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"units \['.*'\] of model '.*' hold dynamic networks, as in a cascade; prune"):
        prune_dead_units(cascade, images)


def test_a_dead_unit_of_an_unknown_kind_says_so(toy_images):
    chain = Chain([layers.Conv2D(4, 1)], [Halve(name="half")], [layers.GlobalMaxPooling2D(), layers.Dense(3)])
    model = DynamicModel(chain, Never())
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="known for Residual, got 'half' of type Halve; name it in the decider's"):
        prune_dead_units(model, toy_images())


def test_a_decider_that_cannot_decide_for_fewer_says_so(toy_chain, toy_images):
    network = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, bias_initializer="ones")])
    model = DynamicModel(toy_chain(), Policy(network, name="policy"))
    model.build((None, 8, 8, 3))
    network.layers[-1].set_weights([np.zeros((3, 3)), np.array([1.0, NEVER, 1.0])])
    with pytest.raises(ValueError, match="from a PerUnitGates or a BinaryMaskNetwork, got decider 'policy' of type Po"):
        prune_dead_units(model, toy_images())


def test_a_decider_is_not_restricted_to_units_it_never_knew(toy_chain):
    decider = gated(toy_chain(units=2), [], np.zeros((2, 8, 8, 3), "uint8"), name="two").decider
    chain = toy_chain(units=3)
    chain.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"decider 'two' can be restricted to some of \['unit1', 'unit2'\], .*'unit3'"):
        decider.restricted_to(chain)
