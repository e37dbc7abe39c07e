"""Pixels of a stem: those of keras.applications' preprocess_input, or a layer of one's own."""

import keras
import numpy as np
import pytest
from keras.src.applications.imagenet_utils import preprocess_input

from keras_dynamic.models.resnet import MODES, mode_of, pixels_layer

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3))


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_that_of_keras_applications_in_red_green_blue(mode):
    wanted = preprocess_input(IMAGES.astype("float32"), data_format="channels_last", mode=mode)
    found = keras.ops.convert_to_numpy(pixels_layer(mode)(IMAGES.astype("uint8")))
    np.testing.assert_allclose(found, wanted[..., ::-1] if mode == "caffe" else wanted, atol=1e-4)


def test_a_mode_is_known_again_after_saving():
    for mode in MODES:
        layer = pixels_layer(mode)
        assert mode_of(type(layer).from_config(layer.get_config())) == mode
    assert mode_of(keras.layers.Rescaling(1 / 255)) is None


def test_a_layer_stays_what_it_is():
    layer = keras.layers.Rescaling(1 / 255)
    assert pixels_layer(layer) is layer


@pytest.mark.parametrize("pixels", ["Caffe", None, 255, ["tf"]])
def test_something_else_is_an_error(pixels):
    message = r"pixels must be one of \['caffe', 'tf', 'torch'\] or a Keras layer, got .*; take 'torch' for weights of"
    with pytest.raises(ValueError, match=message):
        pixels_layer(pixels)
