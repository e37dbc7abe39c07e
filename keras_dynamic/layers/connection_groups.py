"""A convolution whose connections between groups of input and output channels are computed one by one."""

import math
from typing import Any

import keras
from keras import layers, ops

from keras_dynamic.cost import Node, output_spec, tree
from keras_dynamic.layers.grouped_body import GroupedBody, check_positive, count_groups
from keras_dynamic.layers.slices import SelectChannels, inverse_index
from keras_dynamic.layers.units import as_layer, output_spec_built
from keras_dynamic.ops import mask_channels


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
        y = SelectChannels(inverse_index(order, kernel.shape[-1]))(y)
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


DIAGONAL = "diagonal"


@keras.saving.register_keras_serializable("keras_dynamic")
class ConnectionGroups(GroupedBody):
    """after(convolution(before(x))), the convolution's kernel cut into blocks that decisions switch off one by one.

    Of its input channels, in groups, and its output channels, in groups, each pair is a connection:

        output[j] = bias[j] + sum over i of decision[i, j] * convolution[i, j](input[i])

    `before` and `after` always run whole. As the body of a Residual it makes a unit whose matrix of connections
    deciders.ChannelGates decides, as 'unit[i,j]'.

        body = kd.layers.ConnectionGroups(
            Conv2D(64, 3, padding="same", use_bias=False), after=[BatchNormalization()], forced="diagonal"
        )
        unit = kd.layers.Residual(body, activation="relu", name="unit1")

    Args:
        convolution: Conv2D without an activation and with groups=1.
        input_granularity: channels per group of what the convolution reads, which must divide them.
        output_granularity: filters per group of the convolution, which must divide them.
        before: Keras layer (or list of layers) whose output the convolution reads; None for none.
        after: Keras layer (or list of layers) that reads the sum; None for none.
        forced: connections that always run, without a decision, so that no output group is empty. 'diagonal': output
            group j reads input group j, counted round if there are fewer input groups. A number: all output groups read
            the first so many input groups.
        **kwargs: of keras.layers.Layer.

    Attributes:
        counts: (groups of input channels, of output channels), once it is built; None before.
        pairs: (input group, output group) from 0, of each connection that is not forced, once it is built.
        labels: 'i,j' of each of pairs, once it is built. Decisions come in this order.

    Raises:
        ValueError: if convolution is another layer, or a granularity is no positive int, or forced neither that nor
            'diagonal'; or, when it is built, if a granularity does not divide the channels, or there are fewer input
            groups than forced.

    Source: Herrmann et al., section S1.3 (a matrix of gate values for input and output connections).
    """

    pieces = "connections"

    def __init__(
        self,
        convolution,
        input_granularity=16,
        output_granularity=16,
        before=None,
        after=None,
        forced=DIAGONAL,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_convolution(convolution)
        check_positive("input_granularity", input_granularity, "channels per group")
        check_positive("output_granularity", output_granularity, "filters per group")
        if forced != DIAGONAL:
            check_positive("forced", forced, f"input groups, or {DIAGONAL!r}")
        self.convolution = convolution
        self.before = None if before is None else as_layer(before, "before")
        self.after = None if after is None else as_layer(after, "after")
        self.input_granularity, self.output_granularity = input_granularity, output_granularity
        self.forced = forced
        self.counts: Any = None

    def build(self, x_shape):
        """Builds the parts and counts the groups."""
        x = keras.KerasTensor(x_shape, dtype=self.compute_dtype)
        read = x if self.before is None else output_spec_built(self.before, x)
        total = output_spec_built(self.convolution, read)
        if self.after is not None:
            output_spec_built(self.after, total)
        sides = [
            ("input_granularity", self.input_granularity, read.shape[-1], "input channels"),
            ("output_granularity", self.output_granularity, total.shape[-1], "filters"),
        ]
        counts = tuple(count_groups(self.name, *side) for side in sides)
        if self.forced != DIAGONAL and self.forced > counts[0]:
            raise ValueError(
                f"forced must be at most the {counts[0]} input groups of {self.name!r}, {read.shape[-1]} channels by "
                f"{self.input_granularity}, got {self.forced}."
            )
        self.counts = counts

    @property
    def pairs(self):
        """(input group, output group) of each connection that is not forced, in the order of decisions."""
        return [pair for pair in self._all_pairs() if not self._always(*pair)]

    def _all_pairs(self):
        inputs, outputs = self.counts or (0, 0)
        return [(i, j) for i in range(inputs) for j in range(outputs)]

    def _always(self, i, j):
        return i == j % self.counts[0] if self.forced == DIAGONAL else i < self.forced

    @property
    def labels(self):
        """'input group,output group' of each connection that is not forced; [] before it is built."""
        return [f"{i},{j}" for i, j in self.pairs]

    @property
    def narrowest(self):
        """The lesser of both granularities."""
        return min(self.input_granularity, self.output_granularity)

    @property
    def described(self):
        """The matrix of connections in a few words."""
        inputs, outputs = self.counts
        return (
            f"{inputs} by {outputs} connections of {self.input_granularity} to {self.output_granularity} channels, "
            f"forced {self.forced}"
        )

    def read(self, x, decisions=(), training=None):
        """Returns what the convolution reads."""
        return x if self.before is None else self.before(x, training=training)

    def total(self, x, decisions=(), training=None):
        """Returns the convolution's output; under decisions, the sum of what each input group gives, masked."""
        if not decisions:
            return self.convolution(x)
        inputs, outputs = self.counts
        values = dict(zip(self.pairs, decisions, strict=True))
        kernels = ops.split(self.convolution.kernel, inputs, axis=2)
        added = []
        for i, (part, kernel) in enumerate(zip(ops.split(x, inputs, axis=-1), kernels, strict=True)):
            given = self.convolution.convolution_op(part, kernel)
            added.append(mask_channels(given, [values.get((i, j), 1.0) for j in range(outputs)]))
        total = sum(added[1:], added[0])
        return total if self.convolution.bias is None else total + ops.cast(self.convolution.bias, total.dtype)

    def finish(self, x, decisions=(), training=None):
        """Returns after(x)."""
        return x if self.after is None else self.after(x, training=training)

    def paths(self, x, constant=None):
        """Returns what always runs, with the bias, and each other connection by itself, see connected."""
        read, pairs = self._read_spec(x), self.pairs
        known = dict(zip(pairs, constant or [None] * len(pairs), strict=True))
        always = [pair for pair in self._all_pairs() if known.get(pair, True)]
        free = [pair for pair in pairs if known[pair] is None]
        return [connected(self, read, always), *(connected(self, read, [pair], offset=False) for pair in free)]

    def pruned_layers(self, x, runs):
        """Returns the body without the connections that do not run, see connected.

        Blocks of the kernel that are off are gone. What `before` computes of input groups that no output group reads
        is not cut away. Output groups always read something, so `after` stays whole.
        """
        off = {pair for pair, run in zip(self.pairs, runs, strict=True) if not run}
        left = connected(self, self._read_spec(x), [pair for pair in self._all_pairs() if pair not in off])
        return [layer for layer in (self.before, left, self.after) if layer is not None]

    def _read_spec(self, x):
        return x if self.before is None else output_spec(self.before, x)

    def compute_output_spec(self, x, decisions=None, training=None):
        """Returns the spec of what `after` gives."""
        total = output_spec(self.convolution, self._read_spec(x))
        return total if self.after is None else output_spec(self.after, total)

    def cost_node(self, x, guards) -> Node:
        """Returns the cost of what always runs and, under its guard, of each connection: its block of the kernel.

        Args:
            x: spec of the input.
            guards: Guard or None, for each of labels.
        """
        read = self._read_spec(x)
        whole = tree(self.convolution, read)
        count = len(self._all_pairs())
        macs, parameters = whole.macs // count, math.prod(self.convolution.kernel.shape) // count
        free = [
            Node(f"connection{label}", macs, parameters, when=guard)
            for label, guard in zip(self.labels, guards, strict=True)
        ]
        rest = whole.parameters - len(free) * parameters
        forced = Node("forced", macs * (count - len(free)), rest)
        before = [] if self.before is None else [tree(self.before, x, "before")]
        after = [] if self.after is None else [tree(self.after, output_spec(self.convolution, read), "after")]
        return Node(self.name, children=(*before, forced, *free, *after))


def _check_convolution(layer):
    """Raises a ValueError if a layer is not the sum of its blocks."""
    if type(layer) is not layers.Conv2D:
        raise ValueError(f"convolution must be a Conv2D, got {type(layer).__name__} {layer!r}.")
    if layer.groups != 1 or layer.activation is not keras.activations.linear:
        raise ValueError(
            f"convolution must have groups=1 and no activation, got {layer.name!r} with groups={layer.groups} and "
            f"activation {layer.activation.__name__!r}; give the activation as `after`."
        )
