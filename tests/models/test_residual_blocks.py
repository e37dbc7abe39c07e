"""Blocks of residual networks: strided convolution by NumPy, strides and shortcuts of units, names of blocks."""

import keras
import numpy as np
import pytest

from keras_dynamic.layers import PadShortcut
from keras_dynamic.models.resnet import check_stride_on, convolution, layers_per_unit, normalize_pixels, residual_units


@pytest.mark.parametrize("size", [8, 7])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_strided_convolution_starts_at_the_first_pixel(size, kernel):
    block = keras.Sequential(convolution(2, kernel, 2))
    x = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype(np.float32)
    found = keras.ops.convert_to_numpy(block(x))[0]
    side = kernel // 2
    weights = keras.ops.convert_to_numpy(block.layers[-2].kernel)
    framed = np.pad(x[0], ((side, side), (side, side), (0, 0)))
    steps = range(0, size, 2)
    wanted = [[np.tensordot(framed[y : y + kernel, x : x + kernel], weights, 3) for x in steps] for y in steps]
    np.testing.assert_allclose(found, np.array(wanted) / np.sqrt(1 + 1e-5), atol=1e-5)


@pytest.mark.parametrize(
    ("block", "asked"), [("basic", [(8, 2)]), ("bottleneck", [(16, 1), (32, 2)])], ids=["basic", "bottleneck"]
)
def test_a_shortcut_is_asked_for_where_the_shape_changes(block, asked):
    given = []

    def shortcut(channels, stride):
        given.append((channels, stride))
        return PadShortcut(channels, stride)

    units = residual_units((2, 2), 4, block, shortcut)
    assert given == asked
    assert [unit.name for unit in units] == ["stage1_unit1", "stage1_unit2", "stage2_unit1", "stage2_unit2"]
    strides = [
        [layer.strides[0] for layer in unit.body.layers if isinstance(layer, keras.layers.Conv2D)] for unit in units
    ]
    still, halving = ([1, 1], [2, 1]) if block == "basic" else ([1, 1, 1], [1, 2, 1])
    assert strides == [still, still, halving, still]


def test_the_stride_may_be_in_the_first_1x1():
    units = residual_units((1, 2), 4, "bottleneck", PadShortcut, "first_1x1")
    layers = [[layer for layer in unit.body.layers if isinstance(layer, keras.layers.Conv2D)] for unit in units]
    strides = [[(layer.kernel_size[0], layer.strides[0]) for layer in body] for body in layers]
    still = [(1, 1), (3, 1), (1, 1)]
    assert strides == [still, [(1, 2), (3, 1), (1, 1)], still]


@pytest.mark.parametrize(
    ("stride_on", "block", "message"),
    [
        ("3X3", "basic", r"stride_on must be one of \('3x3', 'first_1x1'\), got '3X3' \(did you mean '3x3'\?\)"),
        (
            "first_1x1",
            "basic",
            r"stride_on='first_1x1' needs bottleneck blocks, got block='basic'; take stride_on='3x3'",
        ),
    ],
)
def test_strides_that_cannot_be_are_an_error(stride_on, block, message):
    with pytest.raises(ValueError, match=message):
        check_stride_on(stride_on, block)


def test_pixels():
    white = keras.ops.convert_to_numpy(normalize_pixels()(np.full((1, 1, 1, 3), 255, np.uint8)))
    np.testing.assert_allclose(white[0, 0, 0], [2.2489, 2.4286, 2.64], atol=1e-4)


def test_layers_per_unit():
    assert [layers_per_unit("basic"), layers_per_unit("bottleneck")] == [2, 3]


def test_an_unknown_block_is_an_error():
    with pytest.raises(ValueError, match=r"block must be one of \['basic', 'bottleneck'\], got 'wide'"):
        layers_per_unit("wide")
