"""Magnitude and variance of gradients for each unit."""

import keras
import numpy as np

from keras_dynamic.evaluation.exits import check_exits
from keras_dynamic.layers import gradient_equilibrium, masked
from keras_dynamic.losses import cross_entropy
from keras_dynamic.ops import check_images, class_numbers


def gradient_magnitudes(network, x, y, batch_size=128) -> dict:
    """Returns the mean L1 magnitude of the gradients of each unit that can be skipped.

    That is the mean, over batches and over the kernels of a unit's body, of the absolute gradient of the mean cross
    entropy of a batch. Batch norm is in inference mode, and no weight changes.

    Args:
        network: built DynamicModel without decisions, whose skippable units have a `body`, as Residual has.
        x: images, [n, height, width, channels]; the paper takes training images.
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
    _check_backend("magnitudes")
    if network.decision_names:
        raise ValueError(
            f"gradient magnitudes are those of a plain network, got {network.name!r} with decisions; give "
            "DynamicModel(network.chain)."
        )
    check_images(x)
    y = class_numbers(y, network.classes, len(x))
    kernels = _unit_kernels(network.chain)
    magnitudes = _compiled_magnitudes(network, kernels, x.shape[1:], x.dtype)
    starts = range(0, len(y), batch_size)
    batches = [magnitudes(x[start : start + batch_size], y[start : start + batch_size]) for start in starts]
    return {name: float(np.mean([batch[name] for batch in batches])) for name in kernels}


def _check_backend(what):
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"gradient {what} need the TensorFlow backend, got {keras.backend.backend()!r}; set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )


def _unit_kernels(chain):
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


def _compiled_magnitudes(network, kernels, shape, dtype):
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


_EXECUTORS = {"plain": masked, "equilibrium": gradient_equilibrium}


def gradient_variances(model, x, y, exit_weights=None, batch_size=64) -> dict:
    """Returns the total variance of each block's gradient over batches, with and without gradient equilibrium.

    A block is the units between two exits. Its gradient is that of the exits' weighted cross entropies by its kernels;
    the total variance is the sum over their entries. Batch norm is in inference mode, and no weight changes.

    Args:
        model: built DynamicModel with exits.
        x: images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].
        exit_weights: lambda of each exit, the deepest last; None for 1 each.
        batch_size: images at a time; the last n % batch_size are left out.

    Returns:
        {'plain': [float per block], 'equilibrium': likewise}, in the network's order.

    Raises:
        RuntimeError: if Keras runs on another backend than TensorFlow.
        ValueError: if the network has no exits or decides units, a block has no kernels, images are not
            finite or less than two batches, or labels are not one class for each.

    Source: IMTA, section 3.1, equations 3 and 6.
    """
    _check_backend("variances")
    check_exits(model)
    check_images(x)
    y = class_numbers(y, model.classes, len(x))
    batches = len(y) // batch_size
    if batches < 2:
        raise ValueError(f"a variance takes two batches or more, got {len(x)} images in batches of {batch_size}.")
    blocks = _block_kernels(model.chain)
    weights = exit_weights or [1.0] * len(blocks)
    found = {}
    for name, executor in _EXECUTORS.items():
        gradients = _compiled_gradients(model, blocks, weights, executor, x.shape[1:], x.dtype)
        moments = [np.zeros((2, sum(int(np.prod(kernel.shape)) for kernel in block))) for block in blocks]
        for start in range(0, batches * batch_size, batch_size):
            rows = slice(start, start + batch_size)
            for both, gradient in zip(moments, gradients(x[rows], y[rows]), strict=True):
                values = gradient.numpy().astype(float)
                both += values, np.square(values)
        found[name] = [float(((squares - sums**2 / batches) / (batches - 1)).sum()) for sums, squares in moments]
    return found


def _block_kernels(chain):
    """Returns the kernels of each block."""
    blocks: list[list] = [[]]
    for step in chain.steps():
        if step.exit is not None:
            blocks.append([])
        else:
            blocks[-1] += [weight for weight in step.unit.weights if weight.path.endswith("kernel")]
    for number, block in enumerate(blocks, 1):
        if not block:
            raise ValueError(f"block {number} of the chain has no kernels; two exits are after the same unit.")
    return blocks


def _compiled_gradients(model, blocks, weights, executor, shape, dtype):
    """Returns a function (images, labels) -> flat gradient by the kernels of each block."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), dtype), tf.TensorSpec((None,), "int64")])
    def gradients(images, labels):
        values = [[kernel.value for kernel in block] for block in blocks]
        going = {name: tf.ones(tf.shape(images)[0]) for name in model.decision_names}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outcome = model.outcome(images, going, training=False, executor=executor)
            answers = zip(weights, [*outcome.exits.values(), outcome.logits], strict=True)
            loss = tf.add_n([weight * cross_entropy(labels, logits) for weight, logits in answers])
        found = tape.gradient(loss, values, unconnected_gradients="zero")
        return [tf.concat([tf.reshape(each, [-1]) for each in block], 0) for block in found]

    return lambda x, y: gradients(x, y.astype("int64"))
