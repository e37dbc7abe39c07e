"""Batch norm as one operation, against Keras' own."""

import keras
import numpy as np
import pytest

from keras_dynamic import layers, models

SHAPES = [(8, 5, 4, 3), (1, 1, 1, 3), (8, 3), (8, 6, 3)]


def pair(shape, **options):
    """Returns this project's layer and Keras', with equal weights that are not those of a new layer."""
    found = layers.BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    rng = np.random.default_rng(0)
    found[0].build((None, *shape[1:]))
    found[1].build((None, *shape[1:]))
    weights = [rng.uniform(0.5, 2, size=each.shape) for each in found[0].weights]
    for layer in found:
        layer.set_weights(weights)
    return found


def images(shape):
    return np.random.default_rng(1).normal(3, 2, shape).astype(np.float32)


def test_a_training_step_by_hand():
    """mean 2 and variance 1 of the pixels 1 and 3; the moving ones go a tenth of the way there from 0 and 1."""
    layer = layers.BatchNormalization(momentum=0.9, epsilon=0.0)
    found = layer(np.array([1.0, 3.0], np.float32).reshape(1, 2, 1, 1), training=True)
    np.testing.assert_allclose(np.ravel(found), [-1, 1], atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, [0.2], atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [1.0], atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"epsilon": 1e-5, "momentum": 0.5}, {"scale": False}, {"center": False}, {"axis": 1}], ids=str
)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_statistics_are_those_of_keras(shape, options, training):
    ours, keras_own = pair(shape, **options)
    x = images(shape)
    np.testing.assert_allclose(ours(x, training=training), keras_own(x, training=training), atol=1e-4)
    for found, wanted in zip(ours.weights, keras_own.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, err_msg=found.path)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_every_dtype_that_keras_takes(dtype):
    ours, keras_own = pair((8, 5, 4, 3), dtype=dtype)
    x = images((8, 5, 4, 3))
    rounding = {"float64": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    found, wanted = ours(x, training=True), keras_own(x, training=True)
    for pair_of in ((found, wanted), *zip(ours.weights, keras_own.weights, strict=True)):
        assert keras.backend.standardize_dtype(pair_of[0].dtype) == dtype
        one, other = (keras.ops.cast(each, "float64") for each in pair_of)
        np.testing.assert_allclose(one, other, rtol=rounding, atol=rounding)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="sizes that are unknown are TensorFlow's")
@pytest.mark.parametrize("compiled", [False, True])
def test_sizes_that_the_graph_does_not_know(compiled):
    import tensorflow as tf

    ours, keras_own = pair((None, None, None, 3))
    unknown = tf.TensorSpec((None, None, None, 3))
    step = tf.function(lambda x: ours(x, training=True), [unknown], jit_compile=compiled)
    for shape in ((8, 5, 4, 3), (2, 3, 7, 3)):
        x = images(shape)
        np.testing.assert_allclose(step(x), keras_own(x, training=True), atol=1e-4)
    for found, wanted in zip(ours.weights, keras_own.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, err_msg=found.path)


def test_a_copy_and_a_configuration_keep_the_class():
    network = keras.Sequential([keras.Input((4, 4, 2)), layers.BatchNormalization(momentum=0.5, name="norm")])
    copied = keras.models.clone_model(network).get_layer("norm")
    again = layers.BatchNormalization.from_config(copied.get_config())
    assert {type(each) for each in (copied, again)} == {layers.BatchNormalization}
    assert again.momentum == 0.5


def test_a_frozen_layer_keeps_its_statistics():
    ours, keras_own = pair((8, 5, 4, 3))
    before = ours.get_weights()
    ours.trainable = keras_own.trainable = False
    x = images((8, 5, 4, 3))
    np.testing.assert_allclose(ours(x, training=True), keras_own(x, training=True), atol=1e-5)
    for found, wanted in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_training_goes_as_with_keras(policy):
    """Three steps of a small network: gradients of the input's convolution, scale and offset."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(48, 6, 6, 2)).astype(np.float32), rng.integers(0, 2, 48)
    ends = []
    for kind in (layers.BatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(3)
        dtype = keras.dtype_policies.DTypePolicy(policy)
        parts = [keras.layers.Conv2D(4, 3, dtype=dtype), kind(dtype=dtype), keras.layers.ReLU(dtype=dtype)]
        end = [keras.layers.GlobalAveragePooling2D(dtype=dtype), keras.layers.Dense(2, dtype="float32")]
        model = keras.Sequential([keras.Input((6, 6, 2)), *parts, *end])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        model.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for found, wanted in zip(*ends, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-5 if policy == "float32" else 5e-3)


def test_a_saved_network_has_it(tmp_path):
    network = models.resnet_cifar(8)
    network.build((None, 32, 32, 3))
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    stem = [type(each).__module__ for each in again.chain.stem.layers if "normalization" in each.name]
    assert stem == ["keras_dynamic.layers.batch_norm"]
    x = np.zeros((2, 32, 32, 3), np.float32)
    np.testing.assert_allclose(again(x), network(x), atol=1e-6)
