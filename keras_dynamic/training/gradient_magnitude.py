"""How much each unit of a plain network would still learn: the magnitude of its gradients."""

import keras
import numpy as np

from keras_dynamic.ops import check_images, class_numbers


def gradient_magnitudes(network, x, y, batch_size=128) -> dict:
    """Returns the mean L1 magnitude of the gradients of each unit that can be skipped.

    That is the mean, over batches and over the kernels of a unit's body, of the absolute gradient of a batch's mean
    cross entropy. Batch norm is in inference mode, and no weight changes.

    Args:
        network: built DynamicModel without decisions, whose skippable units have a `body`, as Residual has.
        x: images, [n, height, width, channels]; the paper's are those of the training.
        y: class numbers [n], or one-hot labels [n, classes].
        batch_size: images at a time; the last batch may be smaller and counts as much.

    Returns:
        {unit name: float}, in the network's order.

    Raises:
        RuntimeError: if Keras runs on another backend than TensorFlow.
        ValueError: if the network decides, a unit has no kernels, images are missing or not finite, or labels are not
            one class for each.

    Source: SGAD, section 4.1 and figure 4.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"gradient magnitudes need the TensorFlow backend, got {keras.backend.backend()!r}; set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )
    if network.decision_names:
        raise ValueError(
            f"gradient magnitudes are those of a plain network, got {network.name!r} with decisions; give "
            "DynamicModel(network.chain)."
        )
    check_images(x)
    y = class_numbers(y, network.classes, len(x))
    kernels = _kernels(network.chain)
    magnitudes = _compiled(network, kernels, x.shape[1:], x.dtype)
    starts = range(0, len(y), batch_size)
    batches = [magnitudes(x[start : start + batch_size], y[start : start + batch_size]) for start in starts]
    return {name: float(np.mean([batch[name] for batch in batches])) for name in kernels}


def _kernels(chain):
    """Returns {unit name: kernels of its body} for the units that can be skipped."""
    found = {}
    for unit in chain.units:
        if unit.name not in chain.skippable_names:
            continue
        weights = unit.body.weights if hasattr(unit, "body") else ()
        found[unit.name] = [each for each in weights if each.path.endswith("kernel")]
        if not found[unit.name]:
            raise ValueError(f"unit {unit.name!r} has no kernels in a body; gradient magnitudes are those of a body's.")
    return found


def _compiled(network, kernels, shape, dtype):
    """Returns a function (images, labels) -> {unit name: mean absolute gradient}, compiled for any batch size."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), dtype), tf.TensorSpec((None,), "int64")])
    def magnitudes(images, labels):
        values = {name: [kernel.value for kernel in own] for name, own in kernels.items()}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = network(images, training=False)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        gradients = tape.gradient(loss, values)
        flat = {name: tf.concat([tf.reshape(each, [-1]) for each in own], 0) for name, own in gradients.items()}
        return {name: tf.reduce_mean(tf.abs(each)) for name, each in flat.items()}

    return lambda x, y: magnitudes(x, y.astype("int64"))
