"""What a network answers to images, by the compact execution: as a function on arrays, and as a SavedModel."""

import math
from pathlib import Path

import keras

from keras_dynamic.cost import parts
from keras_dynamic.files import replacing_folder
from keras_dynamic.messages import did_you_mean
from keras_dynamic.ops import check_images
from keras_dynamic.serving.compact import compact

INPUT_TYPES = ("float32", "uint8")


def answers(model):
    """Returns a function from images to what a network answers, of which each part runs only on images that need it.

        answer = kd.serving.answers(model)
        print(answer(images)["macs"].mean())

    Args:
        model: as compact takes it; later changes of weights and thresholds have effect.

    Returns:
        Function (images, uint8 or float array [n, height, width, channels]) -> dictionary of arrays:
        `logits`, float32 [n, ..., classes]; `decisions`, uint8 [n, decisions], 0 or 1, in the order of
        model.decision_names; `macs`, int64 [n].

    Raises:
        ValueError: as compact; by the function, if there are no images, or some have another size or are not finite.
    """
    compiled = _compiled(model, "float32")

    def answer(images):
        check_images(images, model.image_shape)
        found = compiled(keras.ops.convert_to_tensor(images, "float32"))
        return {name: value.numpy() for name, value in found.items()}

    return answer


def export_saved_model(model, path, input_type="float32") -> Path:
    """Writes a network as a TensorFlow SavedModel whose signature computes each part only for images that need it.

    tf.saved_model.load(path).signatures["serving_default"](images=...), TensorFlow Serving and whatever else runs a
    SavedModel take batches of any size; none of them needs keras_dynamic. Its results are those of `answers`: logits,
    decisions and macs. Thresholds are those of now.

    Args:
        model: as compact takes it.
        path: of the SavedModel, a new or empty folder.
        input_type: dtype of `images`, [batch, height, width, channels]: 'float32', or 'uint8' for pixel values of
            which a request then has a quarter of the bytes.

    Returns:
        The path.

    Raises:
        ValueError: as compact, or if the input type is another.
        OSError: if the folder holds something.
    """
    if input_type not in INPUT_TYPES:
        raise ValueError(
            f"input_type must be one of {INPUT_TYPES}, got {input_type!r}{did_you_mean(input_type, INPUT_TYPES)}."
        )
    compiled = _compiled(model, input_type)
    compiled.get_concrete_function()  # ExportArchive takes no function that has not been traced
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", compiled)
    with replacing_folder(path) as temporary:
        archive.write_out(str(temporary), verbose=False)
    return Path(path)


def _compiled(model, input_type):
    """Returns the tf.function (images of a dtype) -> {'logits', 'decisions', 'macs'}, see answers."""
    run = compact(model)
    import tensorflow as tf

    names, costs = model.decision_names, parts(model.cost_tree)

    @tf.function(input_signature=(tf.TensorSpec((None, *model.image_shape[1:]), input_type, name="images"),))
    def answer(images):
        outcome = run.compiled(tf.cast(images, tf.float32))
        count = tf.shape(images)[0]
        decided = {name: tf.cast(outcome.decisions[name], tf.int64) for name in names}
        macs = tf.zeros((count,), tf.int64)
        for each, guards in costs:
            macs += each * math.prod(guard.runs(decided) for guard in guards)
        columns = [tf.cast(value, tf.uint8) for value in decided.values()]
        decisions = tf.stack(columns, axis=1) if columns else tf.zeros((count, 0), tf.uint8)
        return {"logits": tf.cast(outcome.logits, tf.float32), "decisions": decisions, "macs": macs}

    return answer
