"""From a traced function to the bytes of a .tflite, by TensorFlow's own converter."""

import contextlib
import os
import tempfile

import numpy as np

_CALIBRATED_ON = 200  # images; more change the scales little


def check_calibration(images, shape) -> np.ndarray:
    """Returns calibration images as an array, or raises if they cannot be pixels of this shape.

    Args:
        images: what the caller gave.
        shape: (height, width, channels).

    Returns:
        Array, [n, height, width, channels], uint8 or float.

    Raises:
        ValueError: if there are none, or they have another shape or range.
    """
    if images is None or len(images) == 0:
        raise ValueError(
            "int8 needs calibration images to choose its scales; "
            "give calibration=images, some 100 to 500 held-out ones."
        )
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != tuple(shape):
        raise ValueError(
            f"calibration images must have shape [n, {', '.join(map(str, shape))}], got {list(images.shape)}."
        )
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255 or (high <= 1 and images.dtype.kind == "f"):
        raise ValueError(
            f"calibration images must hold pixel values 0 to 255, got {low:g} to {high:g}; "
            "the model normalises them itself."
        )
    return images


def convert(function, shape, quantize=None, calibration=None) -> bytes:
    """Traces a function of one image, freezes it and converts it.

    Args:
        function: tf function (image float32 of this shape) -> list of tensors.
        shape: (1, height, width, channels).
        quantize: None or 'int8'.
        calibration: images for int8; the first 200 are used.

    Returns:
        The .tflite's bytes, its selects not outlined yet.

    Raises:
        ValueError: if an operation has no TFLite builtin.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [np.asarray(image, np.float32)[None]] for image in calibration[:_CALIBRATED_ON]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with _quiet():
            return converter.convert()
    except Exception as error:  # the converter raises its own types, which are not public
        if type(error).__name__ not in ("ConverterError", "RuntimeError", "ValueError"):
            raise
        lines = [line for line in str(error).splitlines() if "error:" in line or "not supported" in line]
        reason = (lines or str(error).splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"TFLite's converter refused the model ({reason.strip()}); "
            "replace the layer with one that TFLite's builtins cover."
        ) from error


@contextlib.contextmanager
def _quiet():
    """Keeps what the converter prints on the process's standard error from the user's terminal."""
    with tempfile.TemporaryFile() as sink:
        kept = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
