"""The guideline's network: cost as arithmetic, images it takes, what it says under mixed precision, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.models import guideline_network


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "arguments", "macs"),
    [
        (32, {}, 16 * 16 * 27 * 32 + 8 * 8 * 9 * 32 * 64 + 4 * 4 * 9 * 64 * 128 + 128 * 10),
        (32, {"num_classes": 100, "filters": (8,)}, 16 * 16 * 27 * 8 + 8 * 100),
        (9, {"num_classes": 2, "filters": [4, 6]}, 5 * 5 * 27 * 4 + 3 * 3 * 9 * 4 * 6 + 6 * 2),
    ],
)
def test_its_cost_is_that_of_strided_convolutions_and_a_dense_layer(size, arguments, macs):
    network = guideline_network(**arguments)
    network.build((None, size, size, 3))
    assert cost.tree(network).total_macs == macs
    assert network(images(2, size)).shape == (2, arguments.get("num_classes", 10))


def test_by_default_it_is_small_beside_the_network_it_guides():
    network = guideline_network()
    network.build((None, 32, 32, 3))
    assert cost.tree(network).total_macs < 0.04 * 68_862_592  # of ResNet-32


def test_pixels_are_0_to_255_as_integers_or_floats():
    network, batch = guideline_network(filters=(4, 4)), images(3, 16)
    logits = keras.ops.convert_to_numpy(network(batch))
    np.testing.assert_allclose(network(batch.astype(np.float32)), logits, atol=1e-6)
    assert np.abs(network(batch // 2) - logits).max() > 1e-3


def test_the_batch_norm_trains():
    network, batch = guideline_network(filters=(4,)), images(3, 16)
    network.build(batch.shape)
    (norm,) = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for training, moves in ((False, False), (True, True)):
        network(batch, training=training)
        assert (np.abs(keras.ops.convert_to_numpy(norm.moving_mean)).max() > 1e-4) == moves


def test_logits_are_float32_under_mixed_precision():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        network = guideline_network(filters=(4,))
        assert keras.backend.standardize_dtype(network(images(2, 8)).dtype) == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.compute_dtype for layer in convolutions] == ["bfloat16"]


def test_saving(tmp_path):
    network, batch = guideline_network(5, (4, 6), name="mine"), images(3, 16)
    network(batch, training=True)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.name == "mine"
    np.testing.assert_allclose(loaded(batch), network(batch), atol=1e-6)


@pytest.mark.parametrize("classes", [1, 0, -3, 2.0, True, "10", None])
def test_the_number_of_classes_is_an_int_of_at_least_2(classes):
    with pytest.raises(ValueError, match=f"num_classes must be an int of at least 2, got {classes!r}"):
        guideline_network(classes)


@pytest.mark.parametrize("filters", [(), []])
def test_there_is_at_least_one_convolution(filters):
    with pytest.raises(ValueError, match="filters must have an entry for each convolution, at least one, got"):
        guideline_network(filters=filters)
