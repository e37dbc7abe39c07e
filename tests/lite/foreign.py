"""Files of other tools: what TensorFlow's converter makes of Keras models, without our names and metadata."""


def converted(model, images=None, float16=False, float_ends=True) -> bytes:
    """Returns a Keras model as a .tflite: float32, with images int8 with or without floats at the ends, or float16."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if images is not None or float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if float16:
        converter.target_spec.supported_types = [tf.float16]
    if images is not None:
        converter.representative_dataset = lambda: ([image[None].astype("float32")] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if not float_ends:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()
