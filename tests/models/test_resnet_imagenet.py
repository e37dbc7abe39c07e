"""ImageNet ResNets: FLOPs of the paper's table, shapes, shortcuts, padding, dropped units, saving, errors."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import resnet50, resnet101, resnet_imagenet

STEM = 112 * 112 * 49 * 3 * 64
HEAD = 2048 * 1000


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def tiny(stages=(1, 2), **arguments):
    """A network of four channels with batch norms that are not new ones."""
    model = resnet_imagenet(stages, **{"num_classes": 3, "width": 4, **arguments})
    model.build((None, 32, 32, 3))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def bottleneck(size, inputs, filters, stride=1):
    """MACs of a unit at this input size: 1x1, strided 3x3, 1x1, and the 1x1 shortcut where the channels change."""
    small = size // stride
    shortcut = small * small * inputs * 4 * filters if inputs != 4 * filters else 0
    return size * size * inputs * filters + small * small * (9 * filters**2 + filters * 4 * filters) + shortcut


# The paper's Table 4: FLOPs (2 x MACs) of ResNet-101 and of its static baselines.
@pytest.mark.ci
@pytest.mark.parametrize(
    ("third", "units", "flops"), [(23, 33, 1.56e10), (14, 24, 1.17e10), (15, 25, 1.21e10), (18, 28, 1.34e10)]
)
def test_flops_of_the_papers_networks(third, units, flops):
    model = resnet_imagenet((3, 4, third, 3))
    model.build((None, 224, 224, 3))
    macs = STEM + HEAD + bottleneck(56, 64, 64)
    for size, filters, count in ((56, 128, 4), (28, 256, third), (14, 512, 3)):
        macs += bottleneck(size, 2 * filters, filters, 2) + (count - 1) * bottleneck(size // 2, 4 * filters, filters)
    macs += 2 * bottleneck(56, 256, 64)
    assert cost.tree(model).total_macs == macs
    assert 2 * macs == pytest.approx(flops, rel=0.01)
    assert len(model.chain.skippable_names) == units


# Herrmann et al., section S1.4: 4.028 G of version 1.5 (torchvision 4.09 G) and 3.8 G of version 1 (He et al.).
@pytest.mark.parametrize(
    ("stride_on", "low", "high"),
    [("3x3", 4.03e9, 4.12e9), pytest.param("first_1x1", 3.80e9, 3.87e9, marks=pytest.mark.ci)],
)
def test_macs_of_resnet_50(stride_on, low, high):
    model = resnet50(stride_on=stride_on)
    model.build((None, 224, 224, 3))
    still = 0  # units that keep the size: 1x1, 3x3, 1x1
    for size, filters, count in ((56, 64, 3), (28, 128, 3), (14, 256, 5), (7, 512, 2)):
        still += count * size**2 * (4 * filters * filters + 9 * filters**2 + filters * 4 * filters)
    still += 56**2 * (64 * 256 - 3 * 64 * 64)  # stage 1's first has a shortcut, and 64 channels in, not 256
    halving = 0  # first units of stages 2, 3 and 4: 1x1 before or after the stride, 3x3, 1x1, shortcut
    for size, filters in ((28, 128), (14, 256), (7, 512)):
        first = (2 * size if stride_on == "3x3" else size) ** 2 * 2 * filters * filters
        halving += first + size**2 * (9 * filters**2 + filters * 4 * filters + 2 * filters * 4 * filters)
    assert cost.tree(model).total_macs == STEM + still + halving + HEAD
    assert low <= STEM + still + halving + HEAD <= high
    assert (model.name, len(model.chain.skippable_names)) == ("resnet50", 16)


def test_resnet_101_is_the_network_of_four_stages():
    model, same = resnet101(num_classes=5, name="mine"), resnet_imagenet(num_classes=5)
    assert (model.name, same.name, resnet101().name) == ("mine", "resnet101", "resnet101")
    assert [unit.name for unit in model.chain.units] == [unit.name for unit in same.chain.units]
    assert [unit.name for unit in model.chain.units[-3:]] == [f"stage4_unit{index}" for index in (1, 2, 3)]


def test_version_1_has_biases_and_its_own_batch_norm():
    model = resnet50(10, "first_1x1", True, 1.001e-5, momentum=0.99)
    model.build((None, 32, 32, 3))
    assert model.count_params() == 25_636_712 - 990 * 2049  # keras.applications' ResNet50, less 990 of its classes
    blocks = [model.chain.stem, *(part for unit in model.chain.units for part in (unit.body, unit.shortcut) if part)]
    found = [layer for block in blocks for layer in block.layers]
    norms = [layer for layer in found if isinstance(layer, keras.layers.BatchNormalization)]
    convolutions = [layer for layer in found if isinstance(layer, keras.layers.Conv2D)]
    assert (len(norms), len(convolutions)) == (53, 53)
    assert {(layer.epsilon, layer.momentum) for layer in norms} == {(1.001e-5, 0.99)}
    assert {layer.use_bias for layer in convolutions} == {True}


def test_gates_on_either_version():
    for stride_on in ("3x3", "first_1x1"):
        plain = tiny((1, 2), stride_on=stride_on, bias=True, pixels="caffe")
        model = ActivationGating(plain.chain, target=0.5)
        model.build((None, 32, 32, 3))
        assert model.decision_names == ["stage1_unit1", "stage2_unit1", "stage2_unit2"]
        table = cost.summary(model, dict.fromkeys(model.decision_names, 0.5)).splitlines()
        assert [line.split()[:2] for line in table if "stage2_unit2 " in line][-1] == ["stage2_unit2", "stage2_unit2"]
        cheaper = cost.given(model.cost_tree, {**{name: [1] for name in model.decision_names}, "stage2_unit2": [0]})
        assert model.cost_tree.total_macs - cheaper[0] == bottleneck(4, 32, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride_on": "5x5"}, r"stride_on must be one of \('3x3', 'first_1x1'\), got '5x5'"),
        ({"epsilon": 0}, r"epsilon must be a positive number, got 0\."),
        ({"momentum": 2}, r"momentum must be a number between 0 and 1, got 2"),
        ({"pixels": "cafe"}, r"pixels must be one of .* or a Keras layer, got 'cafe' \(did you mean 'caffe'\?\)"),
    ],
)
def test_unknown_versions_are_an_error(arguments, message):
    for network in (resnet50, resnet101):
        with pytest.raises(ValueError, match=message):
            network(**arguments)


@pytest.mark.ci
def test_the_stages_that_the_paper_writes_build():
    model = resnet_imagenet((3, 4, 20, 3))
    model.build((None, 64, 64, 3))
    assert model.name == "resnet92"
    assert len(model.chain.skippable_names) == 30


def test_parameters_of_resnet_50():
    model = resnet_imagenet([3, 4, 6, 3])
    model.build((None, 32, 32, 3))
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == 25_557_032  # as torchvision's resnet50
    assert cost.tree(model).total_parameters == model.chain.count_params() == trainable + 53_120


@pytest.mark.parametrize(("block", "expansion"), [("bottleneck", 4), ("basic", 1)])
def test_shapes_names_and_shortcuts(block, expansion):
    model = resnet_imagenet((2, 1, 1), num_classes=7, width=4, block=block)
    assert tuple(model(images(2, 64)).shape) == (2, 7)
    assert model.name == ("resnet14" if block == "bottleneck" else "resnet10")
    assert model.chain.skippable_names == ["stage1_unit1", "stage1_unit2", "stage2_unit1", "stage3_unit1"]
    shapes = [
        tuple(spec.shape[1:]) for spec in [*model.chain.input_specs, model.chain.output_of(len(model.chain.units) - 1)]
    ]
    channels = [4, 4 * expansion, 4 * expansion, 8 * expansion, 16 * expansion]
    assert shapes == [(size, size, count) for size, count in zip((16, 16, 16, 8, 4), channels, strict=True)]
    projected = [unit.name for unit in model.chain.units if unit.shortcut is not None]
    assert projected == (["stage1_unit1"] if block == "bottleneck" else []) + ["stage2_unit1", "stage3_unit1"]
    strides = [
        (layer.kernel_size[0], layer.strides[0])
        for layer in model.chain.units[2].body.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert strides == ([(1, 1), (3, 2), (1, 1)] if block == "bottleneck" else [(3, 2), (3, 1)])


def test_the_stem_pads_alike_on_both_sides():
    """Window by window, with the image in a frame of 3 zeros and the features in a frame of 1."""
    model = tiny()
    batch = images(1, 32)
    pixels, _, filtered, norm, *_ = model.chain.stem.layers
    framed = np.pad(keras.ops.convert_to_numpy(pixels(batch))[0], ((3, 3), (3, 3), (0, 0)))
    kernel = keras.ops.convert_to_numpy(filtered.kernel)
    features = np.array(
        [[np.tensordot(framed[2 * y : 2 * y + 7, 2 * x : 2 * x + 7], kernel, 3) for x in range(16)] for y in range(16)]
    )
    features = np.maximum(keras.ops.convert_to_numpy(norm(features[None], training=False))[0], 0)
    framed = np.pad(features, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    largest = [[framed[2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max(axis=(0, 1)) for x in range(8)] for y in range(8)]
    np.testing.assert_allclose(model.chain.stem(batch)[0], largest, rtol=1e-4, atol=1e-4)


def test_pixels_of_any_type():
    model = tiny()
    batch = images(2, 32)
    np.testing.assert_allclose(model(batch), model(batch.astype(np.float32)), atol=1e-4)


def test_a_dropped_first_unit_gives_its_projection():
    model = tiny()
    stem, unit, batch = model.chain.stem, model.chain.units[1], images(2, 32)
    assert unit.name == "stage2_unit1"
    dynamic = DynamicModel(model.chain, Pattern({"stage1_unit1": False, "stage2_unit1": False}))
    x = model.chain.units[0].otherwise(stem(batch))
    convolution, norm = unit.shortcut.layers
    kernel = keras.ops.convert_to_numpy(convolution.kernel)[0, 0]
    projected = keras.ops.convert_to_numpy(x)[:, ::2, ::2] @ kernel
    skipped = keras.ops.relu(norm(projected, training=False))
    np.testing.assert_allclose(unit.skip(x), skipped, rtol=1e-4, atol=1e-4)
    logits = model.chain.head(model.chain.units[2](skipped))
    np.testing.assert_allclose(dynamic(batch), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", ["bottleneck", "basic"])
def test_saving(fresh_process, block):
    model = tiny(block=block)
    batch = images(3, 32)
    np.testing.assert_allclose(fresh_process(model, batch)["logits"], model(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stages", [(), 3, (3, 0), (3, 4.0), (3, True), "3463", None])
def test_stages_that_are_no_positive_ints_are_an_error(stages):
    with pytest.raises(ValueError, match=r"stages must be units per stage, positive ints, e\.g\. \(3, 4, 23, 3\), got"):
        resnet_imagenet(stages)


def test_an_unknown_block_is_an_error():
    with pytest.raises(ValueError, match=r"block must be one of \['basic', 'bottleneck'\], got 'wide'"):
        resnet_imagenet(block="wide")
