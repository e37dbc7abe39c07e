"""The converter's calibration, and its refusals as sentences."""

import keras
import numpy as np
import pytest

from keras_dynamic import lite
from keras_dynamic.lite import flatbuffer


def test_calibration_images_are_spread_over_all_that_are_given(tiny, images):
    dark_first = np.concatenate([np.minimum(np.resize(images, (200, *images.shape[1:])), 10), images])
    parsed = flatbuffer.load(lite.export(tiny(), "int8", dark_first))
    main = parsed.subgraphs[0]
    scales, _ = flatbuffer.quantization(main.tensors[main.inputs[0]])
    assert scales[0] == pytest.approx(images.max() / 255, rel=0.05)


def test_a_list_of_images_calibrates(tiny, images):
    assert lite.verify(lite.export(tiny(), "int8", list(images))).quantize == "int8"


def test_an_operation_that_tflite_lacks_is_named_with_its_layer(tiny):
    model = tiny(body=[keras.layers.Activation(keras.ops.erf, name="odd")])
    with pytest.raises(
        ValueError, match=r"^TFLite has no builtin operator for Erf, which '[^ ]*/odd[^ ]*' needs; .*\.$"
    ):
        lite.export(model)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_model_in_another_float_type_is_an_error(tiny, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy(before)
    with pytest.raises(ValueError, match=rf"^the model computes in {policy.split('_')[-1]}, .* 'float32' .*\.$"):
        lite.export(model)
