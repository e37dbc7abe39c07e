"""Policy networks: the paper's costs as arithmetic, chances before training, trained trunks, saving."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, zoo
from keras_dynamic.models import policy_resnet, resnet_cifar, resnet_imagenet


def flops(model, size):
    model.build((None, size, size, 3))
    return 2 * cost.tree(model).total_macs


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def chances(policy, batch):
    return keras.ops.convert_to_numpy(keras.ops.sigmoid(policy(batch)))


@pytest.mark.ci
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


def test_the_head_is_dense_on_pooled_features():
    trunk = zoo.load("resnet8_cifar10_45k")
    policy = policy_resnet(15, trunk=trunk)
    batch = images(4, 32)
    logits = policy(batch)
    features = keras.ops.convert_to_tensor(batch)
    for layer in [trunk.chain.stem, *trunk.chain.units]:
        features = layer(features, training=False)
    pooled = keras.ops.convert_to_numpy(features).mean(axis=(1, 2))
    kernel, bias = (keras.ops.convert_to_numpy(variable) for variable in policy.chain.head.layers[-1].weights)
    np.testing.assert_allclose(logits, pooled @ kernel + bias, atol=1e-5)


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
