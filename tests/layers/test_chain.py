"""The one loop: nests, exits, names, locked order, cost tree, saving."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.deciders import Pattern, PerUnitGates
from keras_dynamic.layers import Chain, DynamicModel, Exit, Residual, Unit


@keras.saving.register_keras_serializable("tests")
class TwoScales(layers.Layer):
    """A stem that gives a nest: the image and its pooled half."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pool = layers.AveragePooling2D(2)

    def call(self, image):
        image = keras.ops.cast(image, "float32") / 255.0
        return {"coarse": self.pool(image), "fine": image}


@keras.saving.register_keras_serializable("tests")
class BothScales(Unit):
    """A unit over the nest: a convolution per scale."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.coarse, self.fine = (layers.Conv2D(3, 3, padding="same") for _ in range(2))

    def build(self, shapes):
        self.coarse.build(shapes["coarse"])
        self.fine.build(shapes["fine"])

    def branch(self, x, training=None):
        return {"coarse": x["coarse"] + self.coarse(x["coarse"]), "fine": x["fine"] + self.fine(x["fine"])}

    def otherwise(self, x, training=None):
        return x

    def cost_node(self, x, guard):
        nodes = (cost.tree(self.coarse, x["coarse"]), cost.tree(self.fine, x["fine"]))
        return cost.Node(self.name, when=guard, children=nodes)


@keras.saving.register_keras_serializable("tests")
class CoarseMean(layers.Layer):
    """A head on one leaf."""

    def call(self, x):
        return keras.ops.mean(x["coarse"], axis=(1, 2))


for kind in (TwoScales, CoarseMean):
    cost.register(kind)(lambda layer, inputs: 0)


def two_scales():
    return Chain(
        TwoScales(),
        [BothScales(name="a"), BothScales(name="b")],
        CoarseMean(),
        [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "a", leaf="fine", name="early")],
    )


def test_x_may_be_a_nest(toy_images):
    model = DynamicModel(two_scales(), PerUnitGates())
    images = toy_images(4)
    decisions = {"a": np.float32([1, 0, 1, 0]), "b": np.float32([1, 1, 0, 0])}
    outcome = model.outcome(images, decisions)
    x = model.chain.stem(images)
    for name, unit in zip("ab", model.chain.units, strict=True):
        ran = {leaf: keras.ops.convert_to_numpy(value) for leaf, value in unit.branch(x).items()}
        runs = decisions[name][:, None, None, None] > 0
        x = {leaf: np.where(runs, ran[leaf], keras.ops.convert_to_numpy(x[leaf])) for leaf in x}
        if name == "a":
            np.testing.assert_allclose(outcome.exits["early"], model.chain.exits[0](x), atol=1e-5)
    np.testing.assert_allclose(outcome.logits, x["coarse"].mean(axis=(1, 2)), atol=1e-5)


def test_the_cost_tree_names_every_part():
    model = DynamicModel(two_scales(), PerUnitGates())
    model.build((None, 8, 8, 3))
    unit = (16 + 64) * 9 * 9
    found = [(child.name, child.when, child.total_macs) for child in model.cost_tree.children]
    gate = 3 * 16 + 16
    assert found == [
        ("stem", None, 0),
        ("a_gate", None, gate),
        ("a", cost.Guard("a"), unit),
        ("early", None, 9),
        ("b_gate", None, gate),
        ("b", cost.Guard("b"), unit),
        ("head", None, 0),
    ]


def test_exits_read_after_their_unit(toy_chain, toy_images):
    exits = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}") for k in (1, 3)]
    model = DynamicModel(toy_chain(exits=exits), Pattern({"unit2": 0}))
    outcome = model.outcome(toy_images())
    x = model.chain.stem(toy_images())
    first = model.chain.units[0](x)
    last = model.chain.units[2](model.chain.units[1].skip(first))
    assert list(outcome.exits) == ["exit1", "exit3"]
    np.testing.assert_allclose(outcome.exits["exit1"], exits[0](first), atol=1e-5)
    np.testing.assert_allclose(outcome.exits["exit3"], exits[1](last), atol=1e-5)


def test_exits_are_float32_under_mixed_precision(toy_chain, toy_images):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        exit_ = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit1", name="exit")
        model = DynamicModel(toy_chain(exits=[exit_]))
        assert keras.backend.standardize_dtype(model.outcome(toy_images()).exits["exit"].dtype) == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def test_any_layer_is_a_unit_that_always_runs(toy_images):
    pool = layers.MaxPooling2D(name="pool")
    dropout = layers.Dropout(0.5, name="dropout")  # knows training
    unit = Residual([layers.Conv2D(3, 3, padding="same")], name="unit")
    exit_ = Exit(layers.GlobalAveragePooling2D(), "pool", name="after_pool")
    chain = Chain(layers.Rescaling(1 / 255), [pool, dropout, unit], layers.GlobalAveragePooling2D(), [exit_])
    model = DynamicModel(chain, PerUnitGates())
    outcome = model.outcome(toy_images())
    assert chain.skippable_names == model.decision_names == ["unit"]
    pooled = pool(keras.ops.cast(toy_images(), "float32") / 255.0)
    np.testing.assert_allclose(outcome.exits["after_pool"], keras.ops.mean(pooled, axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(outcome.logits, keras.ops.mean(unit(pooled), axis=(1, 2)), atol=1e-5)
    trained, tested = (keras.ops.convert_to_numpy(model.outcome(toy_images(), training=t).logits) for t in (1, 0))
    assert (trained != tested).any()


def test_decisions_come_in_execution_order(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), Pattern({"unit3": 1, "unit1": 0, "unit2": 1}))
    outcome = model.outcome(toy_images())
    assert model.decision_names == list(outcome.decisions) == ["unit1", "unit2", "unit3"]


def test_names_must_be_distinct():
    def units(*names):
        return [Residual(layers.ReLU(), name=name) for name in names]

    with pytest.raises(ValueError, match=r"units must have distinct names, got \['a'\] more than once"):
        Chain(layers.ReLU(), units("a", "b", "a"), layers.Flatten())
    exits = [Exit(layers.Flatten(), after, name="exit") for after in "ab"]
    with pytest.raises(ValueError, match=r"exits must have distinct names, got \['exit'\] more than once"):
        Chain(layers.ReLU(), units("a", "b"), layers.Flatten(), exits)


def test_brackets_are_for_the_names_of_groups():
    named = [Residual(layers.ReLU(), name="unit[1]")]
    with pytest.raises(ValueError, match=r"names without '\[', which is for their groups, got 'unit\[1\]'"):
        Chain(layers.ReLU(), named, layers.Flatten())


def test_a_config_serves_twice(toy_chain):
    model = DynamicModel(toy_chain(), PerUnitGates())
    packed = keras.saving.serialize_keras_object(model)
    for _ in range(2):
        again = keras.saving.deserialize_keras_object(packed)
        assert [unit.name for unit in again.chain.units] == [unit.name for unit in model.chain.units]


def test_an_exit_after_nothing_is_an_error():
    unit, early = Residual(layers.ReLU(), name="stage1"), Exit(layers.Flatten(), "stge1", name="early")
    with pytest.raises(ValueError, match=r"exit 'early' is after unit 'stge1', .*not there \(did you mean 'stage1'"):
        Chain(layers.ReLU(), [unit], layers.Flatten(), [early])


def test_saving_keeps_nests_and_exits(tmp_path, toy_images):
    model = DynamicModel(two_scales(), PerUnitGates(open_probability=0.5))
    outcome = model.outcome(toy_images())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").outcome(toy_images())
    keras.tree.map_structure(np.testing.assert_array_equal, loaded._asdict(), outcome._asdict())


def test_specs_are_those_of_each_units_input(toy_chain):
    chain = toy_chain()
    chain.build((None, 8, 8, 3))
    assert tuple(chain.image_spec.shape) == (None, 8, 8, 3)
    assert [tuple(spec.shape) for spec in chain.input_specs] == [(None, 8, 8, 4)] * 3


def test_a_chain_takes_one_input(toy_chain):
    message = r"a chain takes one input, \[batch, height, width, channels\], got 2; concatenate them"
    for shape in ([(2, 8, 8, 3), (2, 4)], {"a": (2, 8, 8, 3), "b": (2, 8, 8, 3)}):
        with pytest.raises(ValueError, match=message):
            toy_chain().build(shape)
        with pytest.raises(ValueError, match=message):
            DynamicModel(toy_chain()).build(shape)
    images, numbers = np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4), np.float32)
    built = DynamicModel(toy_chain())
    built.build((None, 8, 8, 3))
    for inputs in ([images, numbers], {"a": images, "b": images}):
        for model in (built, DynamicModel(toy_chain())):
            with pytest.raises(ValueError, match=message):
                model(inputs)
    assert built.outcome(list(images)).logits.shape == (2, 3)
