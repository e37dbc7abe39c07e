"""Channels of a feature map times decisions on groups of them."""

from keras import ops


def mask_channels(x, decisions):
    """Multiplies groups of channels by their decisions.

    Args:
        x: [batch, height, width, channels].
        decisions: list of tensors [batch] or numbers, one for each group; all groups have equally many channels.

    Returns:
        Tensor like x.
    """
    batch = ops.shape(x)[0]
    columns = [ops.broadcast_to(ops.cast(decision, "float32"), (batch,)) for decision in decisions]
    mask = ops.repeat(ops.stack(columns, axis=1), x.shape[-1] // len(columns), axis=1)
    return x * ops.cast(ops.reshape(mask, (-1, 1, 1, x.shape[-1])), x.dtype)
