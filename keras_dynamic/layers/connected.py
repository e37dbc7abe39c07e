"""Some connections of a ConnectionGroups as ordinary, smaller convolutions."""

import keras
from keras import layers

from keras_dynamic.layers.select_channels import SelectChannels
from keras_dynamic.layers.slim import places


def connected(body, x, pairs, offset=True) -> keras.Model:
    """Returns what a body's convolution gives with these connections alone, and computes no others.

    Output groups that read the same input groups share one smaller convolution. The results of disjoint sets of pairs
    add up to that of their union if one of them has the offset and writes each output group.

    Args:
        body: built ConnectionGroups.
        x: spec of what its convolution reads.
        pairs: (input group, output group), at least one. Output groups in none of them are zeros.
        offset: whether the bias is there.

    Returns:
        Functional keras.Model, with weights of its own.
    """
    config = body.convolution.get_config()
    kernel, *bias = body.convolution.get_weights()
    image = keras.Input(x.shape[1:], dtype=x.dtype)
    parts, order = [], []
    for number, (read, written) in enumerate(_by_read(pairs).items()):
        taken = _channels(read, body.input_granularity)
        given = _channels(written, body.output_granularity)
        changed = {"filters": len(given), "use_bias": offset and bool(bias), "name": f"{config['name']}_{number}"}
        layer = layers.Conv2D.from_config({**config, **changed})
        whole = len(taken) == x.shape[-1]
        parts.append(layer(image if whole else SelectChannels(taken)(image)))
        layer.set_weights([kernel[:, :, taken][..., given], *(each[given] for each in bias if offset)])
        order += given
    y = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    if order != list(range(kernel.shape[-1])):
        y = SelectChannels(places(order, kernel.shape[-1]))(y)
    return keras.Model(image, y, name="connected")


def _by_read(pairs):
    """Returns {input groups: the output groups that read them all, and no others}, both rising."""
    reads: dict[int, list[int]] = {}
    for i, j in sorted(pairs):
        reads.setdefault(j, []).append(i)
    found: dict[tuple[int, ...], list[int]] = {}
    for j in sorted(reads):
        found.setdefault(tuple(reads[j]), []).append(j)
    return found


def _channels(groups, granularity):
    return [k * granularity + channel for k in groups for channel in range(granularity)]
