"""Lets a convolution scale the channels of an image, as a normalisation by mean and deviation does.

XNNPACK is slow where it multiplies by and adds numbers for each of three channels, as the rows over which it repeats
them are short; in int8 that takes longer than the first convolution. A 1x1 convolution with a diagonal kernel does the
same in a small part of the time, and is rounded once, not twice.
"""

from typing import Any

import numpy as np

NAME = "kd/scaled_channels"  # in the names of these convolutions; a layer's own name has no slash
_MOST_CHANNELS = 4  # rows of more are fast
_MOST_FACTOR = 1e5  # deviations of pixels, or of numbers from 0 to 1, are far over its inverse
_MOST_OFFSET = 1e4  # of what is scaled: beyond it the sum with a large product would cancel in float32
_STEPS: dict[str, Any] = {
    "AddV2": np.add,
    "BiasAdd": np.add,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "Sub": np.subtract,
}
_COMPUTED = _STEPS | {"Maximum": np.maximum, "Rsqrt": lambda x: np.divide(1, np.sqrt(x)), "Sqrt": np.sqrt}


def may_scale(kernel) -> bool:
    """Returns whether a convolution's kernel, of TFLite's shape, may be one that scales an image's channels."""
    outputs, *size, channels = kernel
    return size == [1, 1] and outputs == channels <= _MOST_CHANNELS


def scale_by_convolution(graph, int8: bool) -> None:
    """Lets a convolution scale an image of two to four channels that constants for each channel multiply and shift.

    Args:
        graph: TensorFlow graph whose variables are constants; it is changed in place.
        int8: whether it is quantised then.

    Raises:
        ValueError: if int8 cannot hold what a channel is multiplied by, as where it never changes.
    """
    for operation in graph.get_operations():
        found = _scaled(operation)
        if found is None or found[0].op.type != "Placeholder":  # the converter fuses those after layers
            continue
        image, factor, offset, last = found[0], 1.0, 0.0, operation
        while True:
            factor, offset = _then(last, found[1], factor, offset)
            readers = last.outputs[0].consumers()
            after = _scaled(readers[0]) if len(readers) == 1 else None
            if after is None or after[0] is not last.outputs[0]:
                break
            last, found = readers[0], after
        if int8 and not np.abs(factor).max() <= _MOST_FACTOR:
            raise ValueError(
                f"{last.name!r} multiplies a channel of the image by {np.abs(factor).max():.3g}, which int8 cannot "
                "hold; a channel without deviation says nothing: leave it out, or give it a variance of 1."
            )
        by_channel = max(np.size(factor), np.size(offset)) > 1
        if by_channel and np.isfinite(factor).all() and np.abs(offset).max() <= _MOST_OFFSET:
            _replace(graph, last, image, factor, offset)


def _scaled(operation):
    """Returns the feature map that an operation multiplies or shifts, and the constant; None if it does neither."""
    if operation.type not in _STEPS or operation.outputs[0].dtype != "float32":
        return None
    shape = operation.outputs[0].shape
    if shape.rank != 4 or not 1 < (shape[-1] or 0) <= _MOST_CHANNELS:
        return None
    first, second = operation.inputs
    for x, other in ((first, second), (second, first)):
        constant = _constant(other) if x.shape == shape else None
        if constant is not None and (constant.size == 1 or constant.size == constant.shape[-1] == shape[-1]):
            divides = operation.type == "RealDiv" and x is second
            return None if divides else (x, constant.reshape(-1))
    return None


def _then(operation, constant, factor, offset):
    """Returns factor and offset of x after one more operation on factor * x + offset."""
    if operation.type == "Mul":
        return factor * constant, offset * constant
    if operation.type == "RealDiv":
        with np.errstate(divide="ignore", invalid="ignore"):
            return factor / constant, offset / constant
    if operation.type == "Sub" and _constant(operation.inputs[0]) is not None:
        return -factor, constant - offset
    return factor, offset - constant if operation.type == "Sub" else offset + constant


def _constant(tensor):
    """Returns a tensor's value, float64, if it follows from constants by what a normalisation computes; else None."""
    import tensorflow as tf

    value, operation = tf.get_static_value(tensor), tensor.op
    if value is None and operation.type in _COMPUTED:
        values = [_constant(each) for each in operation.inputs]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = None if any(each is None for each in values) else _COMPUTED[operation.type](*values)
    return None if value is None else np.asarray(value, np.float64)


def _replace(graph, last, x, factor, offset):
    """Lets all that reads an operation's result read factor * x + offset, of a convolution."""
    import tensorflow as tf

    channels = x.shape[-1]
    kernel = np.diag(np.broadcast_to(factor, channels)).astype(np.float32)[None, None]
    readers = last.outputs[0].consumers()
    with graph.as_default(), tf.name_scope(f"{last.name}/{NAME}/"):
        scaled = tf.nn.conv2d(x, kernel, 1, "VALID")
        scaled = tf.nn.bias_add(scaled, np.broadcast_to(offset, channels).astype(np.float32))
    read_instead(readers, last.outputs[0], scaled)


def read_instead(readers, result, other):
    """Lets operations of a TensorFlow graph read another tensor in place of a result."""
    for reader in readers:
        for place, tensor in enumerate(reader.inputs):
            if tensor is result:
                reader._update_input(place, other)  # TensorFlow offers no public way to change a graph
