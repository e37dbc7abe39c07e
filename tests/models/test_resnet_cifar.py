"""CIFAR ResNets: shapes, MACs as arithmetic, names, errors, and the accuracy of imported weights."""

import os

import keras
import numpy as np
import pytest

from keras_dynamic import cost, data
from keras_dynamic.models import import_resnet_cifar, resnet_cifar, resnet_imagenet

STEM, HEAD = 32 * 32 * 27 * 16, 64 * 10
CONV = 32 * 32 * 9 * 16 * 16  # 3x3 at 32x32 with 16 channels; as much at 16x16 with 32 and at 8x8 with 64
FIRST = CONV // 2 + CONV  # the first unit of stages 2 and 3 has half the channels at its input


def built(depth, **arguments):
    model = resnet_cifar(depth, **arguments)
    model.build((None, 32, 32, 3))
    return model


@pytest.mark.parametrize(
    ("depth", "macs"),
    [
        (8, 12_239_488),
        (20, 40_551_040),
        (32, 68_862_592),
        (56, 125_485_696),
        pytest.param(110, 252_887_680, marks=pytest.mark.ci),
    ],
)
def test_macs(depth, macs):
    units = (depth - 2) // 6
    assert macs == STEM + units * 2 * CONV + 2 * (FIRST + (units - 1) * 2 * CONV) + HEAD
    assert cost.tree(built(depth)).total_macs == macs


def test_parameters():
    model = built(20)
    convolutions = 27 * 16 + 9 * (6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    norms = 4 * (7 * 16 + 6 * 32 + 6 * 64)
    assert cost.tree(model).total_parameters == convolutions + norms + 650 == model.chain.count_params()


def test_bottleneck_macs():
    def unit(size, inputs, filters, stride=1):
        small = size // stride
        return size * size * inputs * filters + small * small * 9 * filters**2 + small * small * filters * 4 * filters

    model = built(29, block="bottleneck")  # 9 * 3 + 2
    macs = 32 * 32 * 27 * 16 + 256 * 10
    for inputs, filters, size in ((16, 16, 32), (64, 32, 32), (128, 64, 16)):
        stride = 1 if filters == 16 else 2
        macs += unit(size, inputs, filters, stride) + 2 * unit(size // stride, 4 * filters, filters)
    assert cost.tree(model).total_macs == macs


@pytest.mark.parametrize(("depth", "block"), [(14, "basic"), (20, "bottleneck")])
def test_shapes_and_names(depth, block):
    model = resnet_cifar(depth, num_classes=7, width=4, block=block)
    logits = model(np.zeros((2, 32, 32, 3), np.uint8))
    assert tuple(logits.shape) == (2, 7)
    assert model.decision_names == []
    wanted = [f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in (1, 2)]
    assert model.chain.skippable_names == wanted
    channels = 4 if block == "basic" else 16
    shapes = [tuple(spec.shape[1:]) for spec in model.chain.input_specs]
    assert shapes[1:] == [
        (32, 32, channels),
        (32, 32, channels),
        (16, 16, 2 * channels),
        (16, 16, 2 * channels),
        (8, 8, 4 * channels),
    ]


def test_pixels_of_any_type_and_symmetric_padding():
    model = built(8, width=4)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    np.testing.assert_allclose(model(images.astype(np.uint8)), model(images.astype(np.float32)), atol=1e-4)
    # A mirrored image gives mirrored features if a strided convolution pads alike on both sides, but for the pixels on
    # which the stride falls; a single pixel in the middle of an odd image shows it.
    body = model.chain.units[1].body
    assert [type(layer).__name__ for layer in body.layers][:2] == ["ZeroPadding2D", "Conv2D"]
    assert body.layers[0].padding == ((1, 1), (1, 1))
    assert body.layers[1].padding == "valid"


def test_the_name():
    assert resnet_cifar(32).name == "resnet32"
    assert resnet_cifar(8, name="mine").name == "mine"


@pytest.mark.parametrize("depth", [2, 7, 30, 32.0, "32", -4])
def test_a_depth_that_is_not_6n_plus_2_is_an_error(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n\+2 for basic blocks, e\.g\. 8, 32 or 110, got {depth!r}"):
        resnet_cifar(depth)


def test_bottlenecks_have_9n_plus_2_layers():
    with pytest.raises(ValueError, match=r"depth must be 9n\+2 for bottleneck blocks, e\.g\. 11, 47 or 164, got 32"):
        resnet_cifar(32, block="bottleneck")


@pytest.mark.parametrize("width", [0, 2.5, True, "16"])
def test_the_width_is_a_positive_int(width):
    for make in (resnet_cifar, resnet_imagenet):
        with pytest.raises(
            ValueError, match=f"width must be a positive int, channels of the first stage, got {width!r}"
        ):
            make(width=width)


def test_an_unknown_block_is_an_error():
    with pytest.raises(ValueError, match=r"block must be one of \['basic', 'bottleneck'\], got 'wide'"):
        resnet_cifar(32, block="wide")


def test_saving(tmp_path):
    model = built(8, width=4)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.cost_tree == model.cost_tree


@pytest.mark.slow
@pytest.mark.skipif(not {"DATA_DIR", "WEIGHTS_DIR"} <= os.environ.keys(), reason="DATA_DIR or WEIGHTS_DIR is not set")
def test_imported_weights_reach_their_accuracy():
    test = data.load("cifar10", os.environ["DATA_DIR"])
    model = import_resnet_cifar(resnet_cifar(32), os.path.join(os.environ["WEIGHTS_DIR"], "resnet32_cifar10_45k.npz"))
    answers = model.predict(test.x_test, batch_size=250, verbose=0).argmax(-1)
    assert len(answers) == 10_000
    assert np.mean(answers == test.y_test) == pytest.approx(0.9348, abs=0.0005)
