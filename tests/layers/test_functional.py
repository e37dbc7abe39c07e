"""Functional and sequential models as chains: the same logits, weights and MACs, and the units that one expects."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dynamic import cost
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import Concatenated, DynamicModel, Residual
from keras_dynamic.layers.dynamic_model import as_dynamic, dtype_policy_scope
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import from_functional
from keras_dynamic.transform import attach_exits, group_channels


def enliven(model, seed=0):
    """Gives batch norms statistics and scales that are not those of a new one, so that no part is an identity."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for variable in layer.weights:
                low, high = (0.7, 1.3) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
                variable.assign(rng.uniform(low, high, variable.shape))
    return model


def inputs_of(model, count=2):
    return np.random.default_rng(1).normal(size=(count, *model.inputs[0].shape[1:])).astype(np.float32)


def assert_same(model, chain, tolerance=1e-5):
    """The chain's logits, as probabilities where the model ends in these, are the model's; its MACs too."""
    x = inputs_of(model)
    network = DynamicModel(chain)
    wanted = ops.convert_to_numpy(model(x, training=False))
    logits = network(x, training=False)
    assert np.abs(ops.convert_to_numpy(logits)).max() > 1e-3
    last = getattr(model.layers[-1], "activation", None)
    found = last(logits) if last in (keras.activations.softmax, keras.activations.sigmoid) else logits
    np.testing.assert_allclose(found, wanted, atol=tolerance)
    assert network.cost_tree.total_macs == cost.tree(model).total_macs
    return network


def block(x, filters, stride=1, activation="relu", norm=True):
    def convolution(x, stride=1):
        x = layers.Conv2D(filters, 3, stride, padding="same")(x)
        return layers.BatchNormalization()(x) if norm else x

    y = layers.ReLU()(convolution(x, stride))
    y = convolution(y)
    if stride > 1 or x.shape[-1] != filters:
        x = layers.BatchNormalization()(layers.Conv2D(filters, 1, stride)(x))
    return layers.Activation(activation)(layers.Add()([x, y]))


def by_hand(image=(16, 16, 3), end="softmax"):
    keras.utils.set_random_seed(0)
    x = given = keras.Input(image)
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same")(layers.Rescaling(1 / 255)(x)))
    x = block(block(block(x, 8), 16, 2), 16)
    x = layers.GlobalAveragePooling2D()(x)
    return enliven(keras.Model(given, layers.Dense(4, activation=end)(x), name="by_hand"))


def test_a_residual_network_written_by_hand():
    model = by_hand()
    chain = from_functional(model)
    assert [type(unit) for unit in chain.units] == [Residual] * 3
    assert chain.skippable_names == ["unit1", "unit2", "unit3"]
    assert [unit.shortcut is None for unit in chain.units] == [True, False, True]
    assert [unit.activation for unit in chain.units] == [keras.activations.relu] * 3
    assert_same(model, chain)


@pytest.mark.parametrize("end", ["softmax", "sigmoid", None])
def test_what_is_skipped_is_the_body(end):
    model = by_hand(end=end)
    network = DynamicModel(from_functional(model))
    x = inputs_of(model)
    tensor = network.chain.stem(x)
    for unit in network.chain.units:
        shortcut = tensor if unit.shortcut is None else unit.shortcut(tensor)
        np.testing.assert_allclose(unit.skip(tensor), ops.relu(shortcut), atol=1e-6)
        tensor = unit(tensor)


def test_a_copy_leaves_the_model_and_sharing_does_not():
    model = by_hand()
    before = model.get_weights()
    shared = [
        weight for weight in from_functional(model, copy=False).weights if any(weight is own for own in model.weights)
    ]
    assert len(shared) == len(model.weights) - 2  # the softmax's layer is a copy
    copied = from_functional(model)
    assert not any(weight is own for weight in copied.weights for own in model.weights)
    for weight in copied.trainable_weights:
        weight.assign(weight + 1.0)
    for own, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_a_copy_has_what_preprocessing_was_adapted_to():
    keras.utils.set_random_seed(0)
    data = np.random.default_rng(0).normal(5.0, 3.0, (64, 7)).astype(np.float32)
    first = layers.Normalization()
    ends = [layers.Dense(5, activation="relu"), layers.Dense(5, activation="relu"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((7,)), keras.Sequential([keras.Input((7,)), first]), *ends])
    first.adapt(data)
    wanted = ops.convert_to_numpy(model(data))
    np.testing.assert_allclose(DynamicModel(from_functional(model))(data), wanted, atol=1e-5)
    np.testing.assert_allclose(attach_exits(model, after=[ends[1].name])(data), wanted, atol=1e-5)


def test_frozen_layers_stay_frozen():
    model = by_hand()
    model.layers[2].trainable = False
    assert from_functional(model).stem.layers[1].trainable is False


def small(kind, **options):
    keras.utils.set_random_seed(0)
    options = {"weights": None, "classes": 10, "input_shape": (64, 64, 3), **options}
    return enliven(getattr(keras.applications, kind)(**options))


# Of each: units, and the names of the first that can be skipped.
APPLICATIONS = [
    ("MobileNetV2", 14, 10, "block_2"),
    pytest.param("ResNet50", 16, 16, "conv2_block1", marks=pytest.mark.ci),
    pytest.param("ResNet101", 33, 33, "conv2_block1", marks=pytest.mark.ci),
    pytest.param("ResNet50V2", 19, 16, "conv2_block1", marks=pytest.mark.ci),
    pytest.param("MobileNet", 27, 0, None, marks=pytest.mark.ci),
    pytest.param("MobileNetV3Small", 9, 6, "expanded_conv_2", marks=pytest.mark.ci),
    pytest.param("MobileNetV3Large", 15, 10, "expanded_conv", marks=pytest.mark.ci),
    pytest.param("EfficientNetB0", 13, 9, "block2b", marks=pytest.mark.ci),
    pytest.param("EfficientNetV2B0", 19, 15, "block2b", marks=pytest.mark.ci),
    pytest.param("DenseNet121", 61, 58, "conv2_block1", marks=pytest.mark.ci),
    pytest.param("Xception", 12, 12, "unit1", marks=pytest.mark.ci),
    pytest.param("ConvNeXtTiny", 21, 18, "unit1", marks=pytest.mark.ci),
    pytest.param("NASNetMobile", 1, 0, None, marks=pytest.mark.ci),
]


@pytest.mark.parametrize(("kind", "units", "skippable", "first"), APPLICATIONS)
def test_networks_of_keras_applications(kind, units, skippable, first):
    model = small(kind, input_shape=(96, 96, 3)) if kind in ("Xception", "NASNetMobile") else small(kind)
    chain = from_functional(model)
    assert (len(chain.units), len(chain.skippable_names)) == (units, skippable)
    assert next(iter(chain.skippable_names), None) == first
    network = DynamicModel(chain)
    x = 100 * np.abs(inputs_of(model))
    wanted = ops.convert_to_numpy(model(x, training=False))
    logits = ops.convert_to_numpy(network(x, training=False))
    assert np.ptp(logits) > 1e-2
    np.testing.assert_allclose(ops.softmax(logits), wanted, atol=1e-5)
    assert network.cost_tree.total_macs == cost.tree(model).total_macs


def test_densely_connected_units():
    keras.utils.set_random_seed(0)
    x = given = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(x)
    for _ in range(2):
        x = layers.Concatenate()([x, layers.ReLU()(layers.Conv2D(2, 3, padding="same")(x))])
    model = keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    chain = from_functional(model)
    assert [(type(unit), unit.name) for unit in chain.units] == [(Concatenated, "unit1"), (Concatenated, "unit2")]
    assert_same(model, chain)


def test_sequences():
    keras.utils.set_random_seed(0)
    x = given = keras.Input((20, 5))
    x = layers.Conv1D(6, 3, padding="same", activation="relu")(x)
    for _ in range(2):
        x = ops.relu(x + layers.Conv1D(6, 3, padding="same")(layers.Conv1D(6, 3, padding="same")(x)))
    model = keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    chain = from_functional(model)
    assert chain.skippable_names == ["unit1", "unit2"]
    assert [unit.activation for unit in chain.units] == [keras.activations.relu] * 2
    assert_same(model, chain)


def test_transformers():
    keras.utils.set_random_seed(0)
    x = given = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 8))(layers.Conv2D(8, 4, 4)(x))
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 4, value_dim=3)(y, y)
        y = layers.Dense(16, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dropout(0.1)(layers.Dense(8)(y))])
    model = keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    chain = from_functional(model)
    assert len(chain.skippable_names) == 4
    assert_same(model, chain)


def test_an_embedding_of_tokens():
    keras.utils.set_random_seed(0)
    x = given = keras.Input((12,), dtype="int32")
    x = layers.Embedding(20, 6)(x)
    x = layers.Add()([x, layers.Conv1D(6, 3, padding="same")(x)])
    model = keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    chain = from_functional(model)
    tokens = np.random.default_rng(0).integers(0, 20, (4, 12))
    np.testing.assert_allclose(DynamicModel(chain)(tokens), model(tokens), atol=1e-5)
    assert chain.skippable_names == ["unit1"]


def test_transfer_learning_with_a_model_inside():
    """As Keras' guide has it: augmentation and rescaling first, the base called with training=False, dropout."""
    base = small("MobileNetV2", include_top=False, input_shape=(None, None, 3), alpha=0.35)
    given = keras.Input((48, 48, 3))
    x = layers.RandomFlip("horizontal")(given)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = base(x, training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(given, layers.Dense(3)(x))
    chain = from_functional(model)
    assert len(chain.skippable_names) == 10
    assert_same(model, chain)


def test_sequential_models_have_places_for_exits_and_nothing_to_skip():
    keras.utils.set_random_seed(0)
    network = [keras.Input((16, 16, 3)), layers.Rescaling(1 / 255)]
    for filters in (4, 8, 8):
        network += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    network += [layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dense(3, activation="softmax")]
    network = keras.Sequential(network)
    chain = from_functional(network)
    names = [layer.name for layer in network.layers if isinstance(layer, layers.Conv2D)]
    assert [unit.name for unit in chain.units] == names
    assert chain.skippable_names == []
    assert_same(network, chain)
    model = attach_exits(network, after=names[:1], filters=0)
    assert model.chain.exit_names == ["exit1"]
    with pytest.raises(ValueError, match="no unit of its chain can be skipped"):
        ActivationGating(network).build((None, 16, 16, 3))


def test_vectors_of_features():
    model = keras.Sequential(
        [keras.Input((7,)), *(layers.Dense(n, activation="relu") for n in (9, 8, 6)), layers.Dense(3)]
    )
    chain = from_functional(model)
    assert len(chain.units) == 2
    assert_same(model, chain)


def parallel():
    """A model in which no single tensor lies between the layers."""
    x = keras.Input((8, 8, 3))
    sides = [layers.GlobalAveragePooling2D()(layers.Conv2D(3, size, padding="same")(x)) for size in (1, 3)]
    return keras.Model(x, layers.Add()(sides))


# (the layers, the names of the units)
UNCUT = [
    (lambda: line((7,), layers.Dense(5, name="first"), layers.Dense(3)), ["first"]),
    (lambda: line((7,), layers.Dense(3, name="only")), ["only"]),
    (
        lambda: line((8, 8, 3), layers.Conv2D(4, 3, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(3)),
        ["conv"],
    ),
    (lambda: line((8, 8, 3), layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(3)), ["conv"]),
    (lambda: line((8, 8, 3), layers.Flatten(), layers.Dense(3)), ["layers"]),
    (lambda: line((8, 8, 3), layers.GlobalAveragePooling2D()), ["layers"]),
    (parallel, ["conv2d"]),
]


def line(shape, *network):
    return keras.Sequential([keras.Input(shape), *network])


@pytest.mark.parametrize(("make", "names"), UNCUT)
def test_a_small_model_is_one_unit(make, names):
    keras.utils.set_random_seed(0)
    model = make()
    chain = from_functional(model)
    assert [re.sub(r"_\d+$", "", unit.name) for unit in chain.units] == names
    assert_same(model, chain)
    x = inputs_of(model)
    exits = attach_exits(model, after=[chain.units[0].name], filters=0)
    np.testing.assert_allclose(exits(x), model(x), atol=1e-5)


def with_equal_names(parallel):
    """Two models in one part whose layers have the same names, one after the other or side by side."""
    keras.utils.set_random_seed(0)

    def inner():
        return line((8, 8, 4), layers.Conv2D(4, 3, padding="same", name="conv"), layers.ReLU(name="relu"))

    given = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="conv_2")(given)  # a name that is taken
    y = layers.Multiply()([inner()(x), inner()(x)]) if parallel else inner()(inner()(x))
    y = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    return keras.Model(given, layers.Dense(3)(y))


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("copy", [False, True])
def test_models_inside_whose_layers_have_the_same_names(parallel, copy, fresh_process):
    model = with_equal_names(parallel)
    network = assert_same(model, from_functional(model, copy=copy))
    x = inputs_of(model)
    np.testing.assert_allclose(fresh_process(network, x)["logits"], model(x), atol=1e-5)


def unet():
    x = given = keras.Input((16, 16, 3))
    left = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    down = layers.MaxPooling2D()(left)
    down = layers.Conv2D(8, 3, padding="same", activation="relu")(down)
    down = layers.Add()([down, layers.Conv2D(8, 3, padding="same")(down)])
    up = layers.Concatenate()([layers.UpSampling2D()(down), left])
    return keras.Model(given, layers.Conv2D(2, 1)(layers.Conv2D(4, 3, padding="same")(up)), name="unet")


def test_a_bottleneck_under_a_long_skip_is_no_unit():
    chain = from_functional(unet())
    assert chain.skippable_names == []


def sums(join):
    """A model whose last part before the head is made by join(x, layer maker)."""
    keras.utils.set_random_seed(0)
    x = given = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)

    def convolution(x, size=3):
        return layers.Conv2D(4, size, padding="same")(x)

    x = block(join(x, convolution), 4)
    return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


# (the part, how many units can be skipped: itself and the block after it)
REGULARIZED = {"activity_regularizer": keras.regularizers.L2(0.1)}
JOINS = [
    (lambda x, make: layers.Add()([make(x), x]), 2),
    (lambda x, make: layers.Add()([make(x), x, make(x)]), 2),
    (lambda x, make: layers.Add()([x, x]), 1),  # no body
    (lambda x, make: layers.Add()([make(x, 1), make(make(x))]), 2),  # a projection
    (lambda x, make: layers.Add()([make(make(x, 1), 1), make(make(x))]), 1),  # two convolutions are no projection
    (lambda x, make: (lambda y: layers.Add()([y, make(y)]))(make(x)), 2),
    (lambda x, make: (lambda y: layers.Add()([make(y), make(ops.tanh(y) * y)]))(ops.tanh(x)), 2),
    (lambda x, make: x + 1.0, 1),
    (lambda x, make: layers.Multiply()([x, make(x)]), 1),
    (lambda x, make: layers.Add()([x, layers.GlobalAveragePooling2D(keepdims=True)(make(x))]), 1),  # it broadcasts
    (lambda x, make: layers.Add()([x, layers.ReLU(max_value=3.0)(make(x))]), 2),
    (lambda x, make: layers.ReLU(max_value=3.0)(layers.Add()([x, make(x)])), 2),
    (lambda x, make: layers.LeakyReLU()(layers.Add()([x, make(x)])), 2),
    (lambda x, make: ops.gelu(layers.Add()([x, make(x)])), 2),
    (lambda x, make: layers.Add(**REGULARIZED)([x, make(x)]), 1),
    (lambda x, make: layers.Concatenate(**REGULARIZED)([x, make(x)]), 1),
    (lambda x, make: layers.Concatenate()([make(x), x]), 1),  # another order
    (lambda x, make: layers.Concatenate(axis=1)([x, make(x)]), 1),
    (lambda x, make: ops.subtract(x, make(x)), 1),
    (lambda x, make: sum(ops.split(make(x), 2, axis=-1)), 1),
]


@pytest.mark.parametrize(("join", "skippable"), JOINS)
def test_what_is_a_residual_unit(join, skippable):
    model = sums(join)
    chain = from_functional(model)
    assert len(chain.skippable_names) == skippable
    assert_same(model, chain)


@pytest.mark.parametrize("last", [layers.ReLU, lambda **options: layers.Activation("relu", **options)])
def test_a_regularised_activation_after_a_sum_stays_a_layer(last):
    model = sums(lambda x, make: last(**REGULARIZED)(layers.Add()([x, make(x)])))
    network = DynamicModel(from_functional(model))
    x = inputs_of(model)
    model(x), network(x)
    assert len(model.losses) == 1
    np.testing.assert_allclose(network.losses, model.losses, rtol=1e-5)
    assert len(network.chain.skippable_names) == 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("joined", [lambda x, y: layers.Add()([x, y]), lambda x, y: x + y])
def test_units_compute_in_the_dtype_of_what_joins_them(policy, joined):
    with dtype_policy_scope(policy):
        model = sums(
            lambda x, make: layers.Concatenate()([y := layers.ReLU()(joined(x, make(x))), make(y)]),
        )
    chain = from_functional(model)
    assert [unit.compute_dtype for unit in chain.units] == [policy.removeprefix("mixed_")] * 3
    assert chain.skippable_names == ["unit1", "unit2", "unit3"]
    x = inputs_of(model)
    wanted = ops.convert_to_numpy(ops.cast(model(x), "float32"))
    np.testing.assert_allclose(ops.cast(DynamicModel(chain)(x), "float32"), wanted, atol=1e-2)


def test_layers_that_are_called_several_times():
    keras.utils.set_random_seed(0)
    relu, dropout, shared = layers.ReLU(), layers.Dropout(0.1), layers.Conv2D(4, 3, padding="same")
    x = given = keras.Input((8, 8, 3))
    x = relu(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Add()([x, dropout(relu(layers.Conv2D(4, 3, padding="same")(x)))])
    x = layers.Add()([x, dropout(relu(layers.Conv2D(4, 3, padding="same")(relu(x))))])
    x = layers.Add()([x, shared(x)])
    x = layers.Add()([x, shared(x)])
    model = keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    chain = from_functional(model)
    assert chain.skippable_names == ["unit1", "unit2"]  # those with one kernel cannot be cut apart
    assert_same(model, chain)


def test_saving_in_a_fresh_process(fresh_process, tmp_path):
    model = ActivationGating(by_hand(), target=0.5)
    x = inputs_of(by_hand())
    model.build((None, 16, 16, 3))
    outcome = model.outcome(x)
    answer = fresh_process(model, x)
    np.testing.assert_allclose(answer["logits"], outcome.logits, atol=1e-6)
    np.testing.assert_array_equal(answer["cost"], outcome.cost)


def test_gating_learns_and_leaves_the_model_as_it_was():
    model = by_hand()
    before = model.get_weights()
    x, y = inputs_of(model, 8), np.arange(8) % 4
    gated = ActivationGating(model, target=0.5, teacher=by_hand(end=None))
    gated.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(gated.fit(x, y, verbose=0).history["loss"][0])
    for own, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_transforms_take_a_model():
    grouped = group_channels(by_hand(), 4)
    assert len(grouped.chain.group_names) == 1 + 3 + 3  # of 8, 16 and 16 channels, one group of each always runs
    exits = attach_exits(by_hand(), after=["unit1"])
    assert exits.decision_names == []
    assert DynamicModel(exits.chain, Confidence()).built is False
    assert as_dynamic(exits) is exits


class Scaled:
    def __call__(self, logits):
        return ops.max(logits, axis=-1)


@pytest.mark.parametrize("kind", [Scaled(), Scaled, functools.partial(ops.max, axis=-1)])
def test_a_confidence_that_is_an_object_and_no_function(kind):
    with pytest.raises(ValueError, match=r"a confidence of your own must be a function, .* got .*; write a function"):
        Confidence(kind)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


class Overridden(keras.Model):
    def call(self, x):
        return super().call(x) * 2


def two(inputs, outputs):
    given = [keras.Input((4,)) for _ in range(inputs)]
    x = layers.Concatenate()(given) if inputs > 1 else given[0]
    return keras.Model(given, [layers.Dense(2)(x) for _ in range(outputs)], name="net")


def overridden():
    x = keras.Input((4,))
    return Overridden(x, layers.Dense(2)(x))


def with_layer(layer, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), layer, layers.Flatten(), layers.Dense(2)], name="net")


def by_itself_and_in_time():
    x, shared = keras.Input((5, 4)), layers.Dense(3, name="shared")
    y = layers.Flatten()(layers.Add()([shared(x), layers.TimeDistributed(shared)(x)]))
    return keras.Model(x, layers.Dense(2)(y))


def in_two_models():
    x, shared = keras.Input((4,)), layers.Dense(4, name="shared")
    return keras.Model(x, layers.Dense(2)(sum(keras.Sequential([keras.Input((4,)), shared])(x) for _ in range(2))))


class Unknown(layers.Layer):
    def call(self, x):
        return x


BAD = [
    (
        lambda: "resnet",
        "takes a built functional or sequential Keras model, got str 'resnet'; build it with keras.Model",
    ),
    (Subclassed, "got Subclassed .*; Keras cannot look into the call method of Subclassed: build it with keras.Model"),
    (overridden, "Keras cannot look into the call method of Overridden"),
    (lambda: keras.Sequential([layers.Dense(2)]), r"got Sequential .*; begin it with keras.Input\(shape\)"),
    (lambda: two(2, 1), "must have one input and one output, got 2 and 1; join the inputs"),
    (lambda: two(1, 2), "must have one input and one output, got 1 and 2"),
    (
        lambda: keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2)]),
        "one size",
    ),
    (
        lambda: with_layer(layers.Lambda(lambda x: x, name="mine")),
        r"Lambda layers \['mine'\], whose code can be neither",
    ),
    (
        lambda: with_layer(layers.Masking(name="mine"), (6, 3)),
        r"makes masks in \['mine'\], which are lost where it is cut",
    ),
    (lambda: with_layer(Unknown()), "cost has no rule for layer .*Unknown.* register one"),
    (by_itself_and_in_time, "has layer 'shared' in two places, one of them inside another layer or model"),
    (in_two_models, "has layer 'shared' in two places"),
    (lambda: by_hand(end="relu"), "must end in logits .* or in a softmax or sigmoid over them"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_cannot_be_is_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        from_functional(make())
