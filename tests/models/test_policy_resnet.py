"""Policy networks: the paper's costs as arithmetic, chances before training, trained trunks, saving, errors."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, layers, zoo
from keras_dynamic.deciders import Never
from keras_dynamic.models import policy_resnet, resnet_cifar, resnet_imagenet


def flops(model, size):
    model.build((None, size, size, 3))
    return 2 * cost.tree(model).total_macs


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def chances(policy, batch):
    return keras.ops.convert_to_numpy(keras.ops.sigmoid(policy(batch)))


def test_flops_of_the_policy_for_cifar():
    conv = 32 * 32 * 9 * 16 * 16  # 3x3 at 32x32 with 16 channels; as much at 16x16 with 32 and at 8x8 with 64
    stem, units = 32 * 32 * 27 * 16, 2 * conv + 2 * (conv // 2 + conv)
    found = flops(policy_resnet(54), 32)
    assert found == 2 * (stem + units + 64 * 54) == 24_484_608
    assert found == pytest.approx(2.45e7, rel=0.01)
    # The paper's 4.8 % of ResNet-110, which it counts as 5.06e8; its ResNet-32 has 1.38e8.
    assert found / flops(resnet_cifar(110), 32) == pytest.approx(0.048, rel=0.01)
    assert flops(resnet_cifar(110), 32) == pytest.approx(5.06e8, rel=0.01)
    assert flops(resnet_cifar(32), 32) == pytest.approx(1.38e8, rel=0.01)


def test_flops_of_the_policy_for_imagenet():
    stem = 56 * 56 * 49 * 3 * 64  # 7x7 with stride 2 on 112x112; then 28x28
    first = 2 * 28 * 28 * 9 * 64 * 64
    others = 0  # 3x3 from half the channels, 3x3, and the 1x1 shortcut from half the channels
    for size, channels in ((14, 128), (7, 256), (4, 512)):
        others += size * size * channels * (9 * channels // 2 + 9 * channels + channels // 2)
    found = flops(policy_resnet(33, image_size=224), 224)
    assert found == 2 * (stem + first + others + 512 * 33) == 471_917_568
    assert found / 1.56e10 == pytest.approx(0.030, rel=0.01)  # of ResNet-101, see test_resnet_imagenet.py


@pytest.mark.parametrize("open_probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("trunk", [None, "resnet8_cifar10_45k"])
def test_an_untrained_policy_runs_units_with_about_the_given_probability(open_probability, trunk):
    keras.utils.set_random_seed(0)
    trunk = trunk and zoo.load(trunk)
    found = chances(policy_resnet(15, trunk=trunk, open_probability=open_probability), images(32, 32))
    assert found.shape == (32, 15)
    assert abs(found.mean() - open_probability) < 0.05
    assert abs(found - open_probability).max() < 0.2
    assert found.std(axis=0).min() > 0  # small, not zero: what the trunk sees comes through


def test_a_trunk_gives_its_very_layers():
    trunk = zoo.load("resnet8_cifar10_45k")
    policy = policy_resnet(15, trunk=trunk, name="mine")
    batch = images(4, 32)
    head = policy.chain.head
    policy(batch)
    assert policy.name == "mine"
    assert policy.chain.stem is trunk.chain.stem
    assert all(mine is theirs for mine, theirs in zip(policy.chain.units, trunk.chain.units, strict=True))
    features = keras.ops.convert_to_tensor(batch)
    for layer in [trunk.chain.stem, *trunk.chain.units]:
        features = layer(features, training=False)
    pooled = keras.ops.convert_to_numpy(features).mean(axis=(1, 2))
    kernel, bias = (keras.ops.convert_to_numpy(variable) for variable in head.layers[-1].weights)
    np.testing.assert_allclose(policy(batch), pooled @ kernel + bias, atol=1e-5)


def test_large_images_are_pooled_by_two():
    keras.utils.set_random_seed(0)
    trunk = resnet_imagenet((1, 1), block="basic", width=4)
    policy = policy_resnet(3, image_size=224, trunk=trunk)
    batch = images(2, 64)
    small = batch.astype(np.float32).reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    features = keras.ops.convert_to_tensor(small)
    for layer in [trunk.chain.stem, *trunk.chain.units, policy.chain.head]:
        features = layer(features, training=False)
    np.testing.assert_allclose(policy(batch), features, atol=1e-4)


def test_log_odds_are_float32_under_mixed_precision():
    trunk = resnet_cifar(8, width=4)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = policy_resnet(3)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert mixed.chain.units[0].compute_dtype == "bfloat16"
    assert mixed.chain.head.layers[-1].compute_dtype == "float32"
    assert policy_resnet(3, trunk=trunk)(images(1, 32)).dtype == "float32"


@pytest.mark.parametrize(
    ("size", "trunk"),
    [
        (32, lambda: None),
        (32, lambda: zoo.load("resnet8_cifar10_45k")),
        (224, lambda: resnet_imagenet((1, 1), block="basic", width=4)),
    ],
)
def test_saving(fresh_process, size, trunk):
    policy = policy_resnet(5, image_size=size, trunk=trunk(), open_probability=0.7)
    batch = images(3, 32)
    logits = policy(batch)
    np.testing.assert_allclose(fresh_process(policy, batch)["logits"], logits, atol=1e-5)


@pytest.mark.parametrize("units", [0, -3, 2.0, "15"])
def test_units_must_be_a_positive_int(units):
    with pytest.raises(ValueError, match=f"units must be a positive int, .* got {units!r}"):
        policy_resnet(units)


@pytest.mark.parametrize("size", [28, 112, "32", None])
def test_an_unknown_size_is_an_error(size):
    with pytest.raises(ValueError, match=rf"image_size must be one of \(32, 224\), got {size!r}"):
        policy_resnet(15, image_size=size)


@pytest.mark.parametrize("probability", [0, 1, 1.5, -0.1, float("nan"), "half"])
def test_a_probability_outside_0_to_1_is_an_error(probability):
    with pytest.raises(ValueError, match=f"open_probability must .* got {probability!r}"):
        policy_resnet(15, open_probability=probability)


@pytest.mark.parametrize("trunk", ["resnet8", keras.Sequential(name="resnet8")])
def test_a_trunk_must_be_a_dynamic_model(trunk):
    with pytest.raises(ValueError, match=f"trunk must be a plain network .* got {type(trunk).__name__} 'resnet8'"):
        policy_resnet(15, trunk=trunk)


def test_a_trunk_that_decides_is_an_error():
    trunk = layers.DynamicModel(resnet_cifar(8, width=4).chain, Never(), name="cut")
    with pytest.raises(ValueError, match=r"trunk must be a plain network .* got 'cut', in which a Never decides"):
        policy_resnet(15, trunk=trunk)


def test_a_trunk_for_large_images_starts_with_the_pixels():
    chain = layers.Chain([keras.layers.Conv2D(4, 3)], [], [keras.layers.Flatten()])
    with pytest.raises(ValueError, match="stem of trunk 'own' starts with Conv2D"):
        policy_resnet(15, image_size=224, trunk=layers.DynamicModel(chain, name="own"))
