"""The layers of multi-scale dense networks against NumPy, their specs and costs, and saving."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.models.msdnet import MultiScaleDense, MultiScaleStem, MultiScaleTransition

SHAPES = {"scale1": (8, 8, 4), "scale2": (4, 4, 6), "scale3": (2, 2, 8)}


def scales(*numbers, seed=0):
    """Random feature maps of two images at these scales."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(2, *SHAPES[name])).astype(np.float32) for name in (f"scale{n}" for n in numbers)}


def lively(layer, x):
    """Calls a layer once, and gives its batch norms statistics that are not new ones."""
    layer(x)
    rng = np.random.default_rng(1)
    for variable in layer.weights:
        if variable.path.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return layer


def by_hand(block, x):
    """Convolutions that pad half their kernel, batch norm and ReLU, each as it stands in a block."""
    for layer in block.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, stride = keras.ops.convert_to_numpy(layer.kernel), layer.strides[0]
            side = kernel.shape[0]
            framed = np.pad(x, ((0, 0), (side // 2, side // 2), (side // 2, side // 2), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(framed, (side, side), axis=(1, 2))
            x = np.einsum("bhwcyx,yxco->bhwo", windows[:, ::stride, ::stride], kernel)
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)  # ReLU follows everywhere
    return x


def test_new_channels_come_from_the_finer_scale_and_the_scale_itself():
    x = scales(1, 2, 3)
    layer = lively(MultiScaleDense((2, 4, 6), bottleneck=(1, 2, 3)), x)
    y = layer(x, training=False)
    blocks = layer.blocks
    wanted = {
        "scale1": [x["scale1"], by_hand(blocks["scale1_to_scale1"], x["scale1"])],
        "scale2": [x["scale2"], *(by_hand(blocks[f"scale{k}_to_scale2"], x[f"scale{k}"]) for k in (1, 2))],
        "scale3": [x["scale3"], *(by_hand(blocks[f"scale{k}_to_scale3"], x[f"scale{k}"]) for k in (2, 3))],
    }
    assert list(y) == list(wanted)
    for name, parts in wanted.items():
        np.testing.assert_allclose(y[name], np.concatenate(parts, -1), rtol=1e-4, atol=1e-4)
    widths = {
        name: [one.filters for one in block.layers if isinstance(one, keras.layers.Conv2D)]
        for name, block in blocks.items()
    }
    assert widths == {
        "scale1_to_scale1": [2, 2],
        "scale1_to_scale2": [2, 2],
        "scale2_to_scale2": [4, 2],
        "scale2_to_scale3": [6, 3],
        "scale3_to_scale3": [8, 3],  # 3 times 3 is over the 8 channels that scale 3 has
    }


def test_a_scale_ends_and_the_next_still_reads_it():
    x = scales(1, 2, 3)
    y = lively(MultiScaleDense((4, 6), finest=2), x)(x)
    assert {name: tuple(value.shape) for name, value in y.items()} == {"scale2": (2, 4, 4, 10), "scale3": (2, 2, 2, 14)}


def test_without_a_finer_scale_all_is_from_the_scale_itself():
    layer = lively(MultiScaleDense((4, 6), finest=2), scales(2, 3))
    assert list(layer.blocks) == ["scale2_to_scale2", "scale2_to_scale3", "scale3_to_scale3"]
    assert layer.blocks["scale2_to_scale2"].layers[0].filters == 4


def test_a_transition_is_a_1x1_convolution_per_scale():
    x = scales(2, 3)
    layer = lively(MultiScaleTransition((3, 5), finest=2), x)
    y = layer(x, training=False)
    assert {name: value.shape[-1] for name, value in y.items()} == {"scale2": 3, "scale3": 5}
    for name, value in y.items():
        np.testing.assert_allclose(value, by_hand(layer.blocks[f"{name}_to_{name}"], x[name]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "finest"), [(32, 32), (224, 8)])  # of images with 32 pixels
def test_the_stem_halves_from_scale_to_scale(size, finest):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    stem = lively(MultiScaleStem((2, 4, 6), size), images)
    y = stem(images, training=False)
    assert {name: tuple(value.shape) for name, value in y.items()} == {
        "scale1": (2, finest, finest, 2),
        "scale2": (2, finest // 2, finest // 2, 4),
        "scale3": (2, finest // 4, finest // 4, 6),
    }
    fine = keras.ops.convert_to_numpy(y["scale1"])
    np.testing.assert_allclose(y["scale2"], by_hand(stem.stages[1], fine), rtol=1e-4, atol=1e-4)
    assert list(MultiScaleStem((2, 4, 6), size, finest=2)(images)) == ["scale2", "scale3"]


def test_specs_and_costs():
    specs = {name: keras.KerasTensor((None, *shape)) for name, shape in SHAPES.items()}
    dense, transition = MultiScaleDense((2, 4, 6)), MultiScaleTransition((1, 2, 3))
    assert {name: spec.shape[1:] for name, spec in dense(specs).items()} == {
        "scale1": (8, 8, 6),
        "scale2": (4, 4, 10),
        "scale3": (2, 2, 14),
    }
    assert {name: spec.shape[-1] for name, spec in transition(specs).items()} == {"scale1": 1, "scale2": 2, "scale3": 3}
    assert cost.tree(dense, specs).total_macs == 9 * (64 * 4 * 2 + 16 * (4 + 6) * 2 + 4 * (6 + 8) * 3)
    assert cost.tree(transition, specs).total_macs == 64 * 4 * 1 + 16 * 6 * 2 + 4 * 8 * 3
    stem, image = MultiScaleStem((2, 4)), keras.KerasTensor((None, 8, 8, 3))
    stem(image)
    assert cost.tree(stem, image).total_macs == 9 * (64 * 3 * 2 + 16 * 2 * 4)


@pytest.mark.parametrize(
    "layer",
    [
        MultiScaleStem((2, 4), 224, finest=2, name="stem"),
        MultiScaleDense((2, 4), 2, (1, 2, 4), name="dense"),
        MultiScaleTransition((2, 4), 2, name="transition"),
    ],
    ids=lambda layer: layer.name,
)
def test_serialization(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
