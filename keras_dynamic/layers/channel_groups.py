"""Two layers with channels between them that are run group by group."""

from typing import Any

import keras
from keras import ops

from keras_dynamic.cost import Node, output_spec, register, tree
from keras_dynamic.layers.slim import grouped_layers

_TOTALS = ("total_macs", "total_parameters")


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelGroups(keras.layers.Layer):
    """contract(mask * expand(before(x))): the channels of `expand` are groups, which decisions switch off one by one.

    A group of filters that is off is neither computed in `expand` nor read in `contract`; its channels are zeros. As
    the body of a Residual it makes a unit whose groups deciders.ChannelGates decides.

        body = kd.layers.ChannelGroups(
            [Conv2D(64, 3, padding="same", use_bias=False), BatchNormalization(), ReLU()],
            [Conv2D(32, 3, padding="same", use_bias=False), BatchNormalization()],
            granularity=16,
        )
        unit = kd.layers.Residual(body, activation="relu", name="unit1")

    Args:
        expand: Keras layer (or list of layers) whose output [batch, height, width, channels] is grouped. Each channel
            must depend on one filter of its first convolution alone: behind that come batch norm, activations and
            depthwise convolutions.
        contract: Keras layer (or list of layers) that reads the groups; its first convolution adds them up.
        granularity: filters per group, which must divide the channels.
        forced: number of groups, the first ones, that always run and are no decision; at least 1, as a unit whose
            groups are all off would not be its shortcut: batch norm in `contract` has an offset.
        before: Keras layer (or list of layers) that always runs, whose output `expand` reads; None for none.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if granularity or forced are no positive ints, or, when it is built, granularity does not divide the
            channels, there are fewer groups than forced ones, or a layer of its parts cannot be cut into groups.

    Source: Herrmann et al., sections 1.1 and 4.2, figure 2 (expansion channels).
    """

    def __init__(self, expand, contract, granularity=16, forced=1, before=None, **kwargs):
        super().__init__(**kwargs)
        for name, value, meaning in (("granularity", granularity, "filters per group"), ("forced", forced, "groups")):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive number of {meaning}, got {value!r}.")
        self.expand, self.contract = _layer(expand, "expand"), _layer(contract, "contract")
        self.before = None if before is None else _layer(before, "before")
        self.granularity, self.forced = granularity, forced
        self.groups: Any = None  # how many there are, once it is built

    def build(self, x_shape):
        """Builds both parts and counts the groups."""
        x = keras.KerasTensor(x_shape, dtype=self.compute_dtype)
        if self.before is not None:
            if not self.before.built:
                self.before.build(x_shape)
            x = output_spec(self.before, x)
        if not self.expand.built:
            self.expand.build(x.shape)
        spec = output_spec(self.expand, x)
        if len(spec.shape) != 4:
            raise ValueError(
                f"expand of {self.name!r} must give [batch, height, width, channels], got shape {tuple(spec.shape)}."
            )
        channels = spec.shape[-1]
        if channels % self.granularity:
            raise ValueError(
                f"granularity must divide the {channels} filters of {self.name!r}, got {self.granularity}; take "
                f"{_nearest_divisor(channels, self.granularity)}."
            )
        groups = channels // self.granularity
        if self.forced > groups:
            raise ValueError(
                f"forced must be at most the {groups} groups of {self.name!r}, {channels} filters by "
                f"{self.granularity}, got {self.forced}."
            )
        if not self.contract.built:
            self.contract.build(spec.shape)
        grouped_layers(self)  # raises if groups cannot be switched off by themselves
        self.groups = groups

    def call(self, x, decisions=None, training=None):
        """Returns contract(mask * expand(x)).

        Args:
            x: [batch, height, width, channels].
            decisions: list of float tensors [batch] or scalars, one for each group that is not forced; None runs all.
            training: whether layers inside run in training mode.

        Returns:
            What `contract` gives.
        """
        if self.before is not None:
            x = self.before(x, training=training)
        hidden = self.expand(x, training=training)
        if decisions is not None:
            hidden = hidden * ops.cast(self._mask(decisions, ops.shape(x)[0]), hidden.dtype)
        return self.contract(hidden, training=training)

    def _mask(self, decisions, batch):
        """Returns 0/1 for each channel, [batch, 1, 1, channels]."""
        if len(decisions) != self.groups - self.forced:
            raise ValueError(
                f"decisions must be one for each of the {self.groups - self.forced} groups of {self.name!r} that are "
                f"not forced, got {len(decisions)}."
            )
        given = [ops.broadcast_to(ops.cast(decision, "float32"), (batch,)) for decision in decisions]
        columns = [ops.ones((batch,))] * self.forced + given
        mask = ops.repeat(ops.stack(columns, axis=1), self.granularity, axis=1)
        return ops.reshape(mask, (-1, 1, 1, self.groups * self.granularity))

    def compute_output_spec(self, x, decisions=None, training=None):
        """Returns the spec of what `contract` gives."""
        return output_spec(self.contract, output_spec(self.expand, self.grouped_input(x)))

    def grouped_input(self, x):
        """Returns the spec of what `expand` reads, for x of this spec."""
        return x if self.before is None else output_spec(self.before, x)

    def cost_node(self, x, guards) -> Node:
        """Returns the cost of the forced groups and, under guard, that of each other group.

        Args:
            x: spec of the input.
            guards: Guard or None, for each group that is not forced.
        """
        before = () if self.before is None else (tree(self.before, x, "before"),)
        x = self.grouped_input(x)
        shared, whole = grouped_layers(self)
        counted = []
        for layer in [*shared, *whole]:
            counted.append(tree(layer, x))
            x = output_spec(layer, x)
        macs, parameters = (sum(getattr(part, total) for part in counted[: len(shared)]) for total in _TOTALS)
        each, each_parameters = macs // self.groups, parameters // self.groups
        free = [
            Node(f"group{self.forced + number}", each, each_parameters, when=guard)
            for number, guard in enumerate(guards)
        ]
        fixed = Node("forced", macs - each * len(free), parameters - each_parameters * len(free))
        return Node(self.name, children=(*before, fixed, *free, *counted[len(shared) :]))

    def get_config(self):
        """Returns the arguments, layers serialized."""
        return {
            **super().get_config(),
            "expand": keras.saving.serialize_keras_object(self.expand),
            "contract": keras.saving.serialize_keras_object(self.contract),
            "granularity": self.granularity,
            "forced": self.forced,
            "before": keras.saving.serialize_keras_object(self.before),
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the layer from get_config()."""
        unpack = keras.saving.deserialize_keras_object
        return cls(**{**config, **{part: unpack(config[part]) for part in ("before", "expand", "contract")}})


@register(ChannelGroups)
def _cost(layer, inputs):
    if not layer.built:
        layer.build(inputs.shape)
    return layer.cost_node(inputs, [None] * (layer.groups - layer.forced))


def _layer(value, name):
    return keras.Sequential(list(value), name=name) if isinstance(value, (list, tuple)) else value


def _nearest_divisor(channels, wanted):
    return min((k for k in range(1, channels + 1) if channels % k == 0), key=lambda k: (abs(k - wanted), k))
