"""What all policy networks share: trunks, pooled pixels, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import layers, zoo
from keras_dynamic.deciders import Never
from keras_dynamic.models import policy_recurrent, policy_resnet, resnet_cifar, resnet_imagenet

MAKERS = pytest.mark.parametrize("make", [policy_resnet, policy_recurrent])


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


@MAKERS
def test_a_trunk_gives_its_very_layers(make):
    trunk = zoo.load("resnet8_cifar10_45k")
    policy = make(15, trunk=trunk, name="mine")
    batch = images(4, 32)
    logits = policy(batch)
    assert policy.name == "mine"
    assert policy.chain.stem is trunk.chain.stem
    assert all(mine is theirs for mine, theirs in zip(policy.chain.units, trunk.chain.units, strict=True))
    features = keras.ops.convert_to_tensor(batch)
    for layer in [trunk.chain.stem, *trunk.chain.units]:
        features = layer(features, training=False)
    pooled = keras.ops.convert_to_numpy(features).mean(axis=(1, 2))
    np.testing.assert_allclose(logits, policy.chain.head.layers[-1](pooled), atol=1e-5)


@MAKERS
def test_large_images_are_pooled_by_two(make):
    keras.utils.set_random_seed(0)
    trunk = resnet_imagenet((1, 1), block="basic", width=4)
    policy = make(3, image_size=224, trunk=trunk)
    batch = images(2, 64)
    small = batch.astype(np.float32).reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    features = keras.ops.convert_to_tensor(small)
    for layer in [trunk.chain.stem, *trunk.chain.units, policy.chain.head]:
        features = layer(features, training=False)
    np.testing.assert_allclose(policy(batch), features, atol=1e-4)


@MAKERS
def test_pool_is_how_many_pixels_are_averaged_along_each_side(make):
    keras.utils.set_random_seed(0)
    trunk, same = zoo.load("resnet8_cifar10_45k"), resnet_cifar(8)
    same.build((None, 8, 8, 3))
    same.chain.set_weights(trunk.chain.get_weights())
    policy = make(3, trunk=trunk, pool=4)
    batch = images(2, 32)
    features = batch.astype(np.float32).reshape(2, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    for layer in [same.chain.stem, *same.chain.units, policy.chain.head]:
        features = layer(features, training=False)
    np.testing.assert_allclose(policy(batch), features, atol=1e-4)
    assert policy.chain.units[0].body.layers[0] is trunk.chain.units[0].body.layers[0]


@MAKERS
@pytest.mark.parametrize("pool", [0, 3, 8, 2.0, True, "2"])
def test_pool_must_be_an_int_that_leaves_something_to_see(make, pool):
    with pytest.raises(ValueError, match=rf"pool, .*, must be one of \[1, 2, 4\] for 32 pixels, got {pool!r}"):
        make(3, pool=pool)


@MAKERS
@pytest.mark.parametrize("units", [0, -3, 2.0, "15", True])
def test_units_must_be_a_positive_int(make, units):
    with pytest.raises(ValueError, match=f"units must be a positive int, .* got {units!r}"):
        make(units)


@MAKERS
@pytest.mark.parametrize("size", [8, "32", None])
def test_a_size_that_cannot_be_is_an_error(make, size):
    with pytest.raises(ValueError, match=rf"image_size must be the images' side in pixels, at least 16, got {size!r}"):
        make(15, image_size=size)


@pytest.mark.parametrize(("size", "channels", "units"), [(28, 1, 3), (48, 4, 3), (96, 1, 4), (75, 3, 4)])
def test_images_of_any_size_and_number_of_channels(size, channels, units):
    policy = policy_resnet(5, image_size=size)
    policy.build((None, size, size, channels))
    assert len(policy.chain.units) == units  # a ResNet-8, or a ResNet-10
    assert policy(np.zeros((2, size, size, channels), np.uint8)).shape == (2, 5)


@MAKERS
@pytest.mark.parametrize("probability", [0, 1, 1.5, -0.1, float("nan"), "half"])
def test_a_probability_outside_0_to_1_is_an_error(make, probability):
    with pytest.raises(ValueError, match=f"open_probability must .* got {probability!r}"):
        make(15, open_probability=probability)


@MAKERS
@pytest.mark.parametrize("trunk", ["resnet8", keras.Sequential(name="resnet8")])
def test_a_trunk_must_be_a_dynamic_model(make, trunk):
    with pytest.raises(ValueError, match=f"trunk must be a plain network .* got {type(trunk).__name__} 'resnet8'"):
        make(15, trunk=trunk)


@MAKERS
def test_a_trunk_that_decides_is_an_error(make):
    trunk = layers.DynamicModel(resnet_cifar(8, width=4).chain, Never(), name="cut")
    with pytest.raises(ValueError, match=r"trunk must be a plain network .* got 'cut', in which a Never decides"):
        make(15, trunk=trunk)


@MAKERS
def test_a_trunk_for_large_images_starts_with_the_pixels(make):
    chain = layers.Chain([keras.layers.Conv2D(4, 3)], [], [keras.layers.Flatten()])
    with pytest.raises(ValueError, match="stem of trunk 'own' starts with Conv2D"):
        make(15, image_size=224, trunk=layers.DynamicModel(chain, name="own"))
