"""How much the gradients of a network with exits vary from batch to batch, block by block."""

import keras
import numpy as np

from keras_dynamic.layers import gradient_equilibrium, masked
from keras_dynamic.losses import cross_entropy
from keras_dynamic.ops import check_images, class_numbers
from keras_dynamic.training.exit_answers import check_exits

_READINGS = {"plain": masked, "equilibrium": gradient_equilibrium}


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
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"gradient variances need the TensorFlow backend, got {keras.backend.backend()!r}; set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )
    check_exits(model)
    check_images(x)
    y = class_numbers(y, model.classes, len(x))
    batches = len(y) // batch_size
    if batches < 2:
        raise ValueError(f"a variance takes two batches or more, got {len(x)} images in batches of {batch_size}.")
    blocks = _kernels(model.chain)
    weights = exit_weights or [1.0] * len(blocks)
    found = {}
    for name, read in _READINGS.items():
        gradients = _compiled(model, blocks, weights, read, x.shape[1:], x.dtype)
        moments = [np.zeros((2, sum(int(np.prod(kernel.shape)) for kernel in block))) for block in blocks]
        for start in range(0, batches * batch_size, batch_size):
            rows = slice(start, start + batch_size)
            for both, gradient in zip(moments, gradients(x[rows], y[rows]), strict=True):
                values = gradient.numpy().astype(float)
                both += values, np.square(values)
        found[name] = [float(((squares - sums**2 / batches) / (batches - 1)).sum()) for sums, squares in moments]
    return found


def _kernels(chain):
    """Returns the kernels of each block."""
    blocks: list[list] = [[]]
    for step in chain.steps():
        if step.exit is not None:
            blocks.append([])
        else:
            blocks[-1] += [weight for weight in step.unit.weights if weight.path.endswith("kernel")]
    for number, block in enumerate(blocks, 1):
        if not block:
            raise ValueError(f"block {number} of the chain has no kernels; two exits stand behind the same unit.")
    return blocks


def _compiled(model, blocks, weights, read, shape, dtype):
    """Returns a function (images, labels) -> flat gradient by the kernels of each block."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), dtype), tf.TensorSpec((None,), "int64")])
    def gradients(images, labels):
        values = [[kernel.value for kernel in block] for block in blocks]
        going = {name: tf.ones(tf.shape(images)[0]) for name in model.decision_names}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outcome = model.outcome(images, going, training=False, read=read)
            answers = zip(weights, [*outcome.exits.values(), outcome.logits], strict=True)
            loss = tf.add_n([weight * cross_entropy(labels, logits) for weight, logits in answers])
        found = tape.gradient(loss, values, unconnected_gradients="zero")
        return [tf.concat([tf.reshape(each, [-1]) for each in block], 0) for block in found]

    return lambda x, y: gradients(x, y.astype("int64"))
