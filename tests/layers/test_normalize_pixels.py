"""From pixel values to numbers around 0."""

import warnings

import keras
import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost, evaluation
from keras_dynamic.layers import Chain, DynamicModel, NormalizePixels
from keras_dynamic.layers.normalize_pixels import warn_of_fractions

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3))
WANTED = ((IMAGES / 255 - MEAN) / DEVIATION).astype(np.float32)


class TestNormalizePixels(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            NormalizePixels,
            {"mean": MEAN, "deviation": DEVIATION},
            input_data=IMAGES.astype(np.float32),
            expected_output=keras.ops.convert_to_tensor(WANTED),
            expected_num_trainable_weights=0,
            expected_num_non_trainable_variables=0,
        )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_any_type_of_pixel(dtype):
    found = keras.ops.convert_to_numpy(NormalizePixels(MEAN, DEVIATION)(IMAGES.astype(dtype)))
    np.testing.assert_allclose(found, WANTED, atol=1e-5)


def test_half_precision_rounds_the_result_alone():
    layer = NormalizePixels(MEAN, DEVIATION, dtype="mixed_bfloat16")
    found = layer(IMAGES.astype("uint8"))
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    rounded = keras.ops.cast(keras.ops.cast(WANTED, "bfloat16"), "float32")
    found = keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(rounded), atol=0.01)
    assert (found == keras.ops.convert_to_numpy(rounded)).mean() > 0.9


def test_other_numbers_of_channels_get_the_mean_of_the_numbers():
    wanted = (IMAGES / 255 - np.mean(MEAN)) / np.mean(DEVIATION)
    for images, expected in ((IMAGES[..., :1], wanted[..., :1]), (np.tile(IMAGES, 2), np.tile(wanted, 2))):
        np.testing.assert_allclose(NormalizePixels(MEAN, DEVIATION)(images), expected, atol=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [((0.5,), (0.2, 0.2)), ((0.5,), (0.0,)), ((0.5,), (-1.0,))])
def test_bad_numbers_are_an_error(mean, deviation):
    with pytest.raises(ValueError, match="one number per channel, deviations positive"):
        NormalizePixels(mean, deviation)


def test_it_costs_nothing():
    assert cost.tree(NormalizePixels(MEAN, DEVIATION), IMAGES).total_macs == 0


def network(first):
    model = DynamicModel(Chain([first, keras.layers.Flatten()], [], [keras.layers.Dense(2)]), name="network")
    model.build((None, 4, 4, 3))
    return model


PIXELS = NormalizePixels(MEAN, DEVIATION)
FRACTIONS = IMAGES / 255


@pytest.mark.parametrize("first", [PIXELS, keras.layers.Rescaling(1 / 255), keras.layers.Rescaling(1 / 127.5, -1)])
@pytest.mark.parametrize("use", [evaluation.evaluate, warn_of_fractions])
def test_images_from_0_to_1_are_warned_of(use, first):
    with pytest.warns(UserWarning, match="images range from 0 to 1, and 'network' expects pixels from 0 to 255; multi"):
        use(network(first), FRACTIONS)


@pytest.mark.parametrize(
    ("first", "images"),
    [
        (PIXELS, IMAGES.astype(float)),
        (PIXELS, (IMAGES > 99).astype(np.uint8)),
        (PIXELS, np.zeros((2, 4, 4, 3))),
        (PIXELS, FRACTIONS - 0.5),
        (keras.layers.Rescaling(2.0), FRACTIONS),
        (keras.layers.Activation("relu"), FRACTIONS),
    ],
    ids=["pixels", "bytes", "black", "around 0", "another scale", "no scale"],
)
def test_other_images_are_let_pass(first, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_fractions(network(first), images)


def test_a_warning_for_each_model_once():
    model = network(PIXELS)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_of_fractions(model, FRACTIONS)
    assert len(found) == 1
