"""Bodies of units whose channels are computed group by group."""

from typing import Any

import keras
from keras import layers

from keras_dynamic.cost import Guard, Node, output_spec, tree
from keras_dynamic.layers.grouped_body import GroupedBody, check_positive, count_groups
from keras_dynamic.layers.slices import check_parts, grouped_layers, slice_groups, sliced_paths
from keras_dynamic.layers.units import as_layer, output_spec_built
from keras_dynamic.ops import mask_channels


def group_nodes(body, x, guards: list[Guard | None]) -> list[Node]:
    """Returns the cost of the forced groups, that of each other group under its guard, and that of later layers.

    The first convolution's MACs are shared out among pairs of an input group and a group, the second's among pairs of a
    group and an output group. A pair runs if both do: active input, expansion and output channels multiply.

    Args:
        body: built ChannelGroups.
        x: spec of what its `expand` reads.
        guards: Guard or None, for each of body.labels.

    Source: Herrmann et al., section 3.4.
    """
    shared, later = grouped_layers(body)
    counted = []
    for layer in [*shared, *later]:
        counted.append(tree(layer, x))
        x = output_spec(layer, x)
    own = counted[: len(shared)]
    first, second = (part.total_macs for part, layer in zip(own, shared, strict=True) if type(layer) is layers.Conv2D)
    inputs, groups, outputs = body.split(list(guards))
    read, number, given = body.counts
    rest = (sum(part.total_macs for part in own) - first - second) // number
    pairs = [(first // (read * number), read, inputs), (second // (number * given), given, outputs)]
    parameters = sum(part.total_parameters for part in own)

    def node(name, count, guard, parameters):
        always = count * (rest + sum(macs * (all_ - len(free)) for macs, all_, free in pairs))
        paired = tuple(Node(f"{name}_pair", count * macs, when=other) for macs, _, free in pairs for other in free)
        return Node(name, always, parameters, when=guard, children=paired)

    each = parameters // number
    forced = node("forced", number - len(groups), None, parameters - each * len(groups))
    free = [node(f"group{body.forced + k}", 1, guard, each) for k, guard in enumerate(groups)]
    return [forced, *free, *(_shared_out(part, given, outputs) for part in counted[len(shared) :])]


def _shared_out(part, number, guards):
    """Returns the cost of a layer after the second convolution, whose channels are output groups."""
    each = part.macs // number
    if not each or not guards:
        return part
    free = tuple(Node(f"{part.name}_group", each, when=guard) for guard in guards)
    return part._replace(macs=part.macs - each * len(free), children=(*part.children, *free))


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelGroups(GroupedBody):
    """contract(mask * expand(before(x))): the channels of `expand` are groups, which decisions switch off one by one.

    A group of filters that is off is neither computed in `expand` nor read in `contract`; its channels are zeros. As
    the body of a Residual it makes a unit whose groups deciders.ChannelGates decides.

        body = kd.layers.ChannelGroups(
            [Conv2D(64, 3, padding="same", use_bias=False), BatchNormalization(), ReLU()],
            [Conv2D(32, 3, padding="same", use_bias=False), BatchNormalization()],
            granularity=16,
        )
        unit = kd.layers.Residual(body, activation="relu", name="unit1")

    The channels that `expand` reads and those that `contract` gives may be groups too, with decisions of their own:
    mask * contract(mask * expand(mask * before(x))).

    Args:
        expand: Keras layer (or list of layers) whose output [batch, height, width, channels] is grouped. Each channel
            must depend on one filter of its first convolution alone, followed by batch norm, activations and
            depthwise convolutions.
        contract: Keras layer (or list of layers) that reads the groups; its first convolution adds them up.
        granularity: filters per group, which must divide the channels.
        forced: number of groups, the first ones, that always run and are no decision; at least 1, as a unit whose
            groups are all off would not be its shortcut: batch norm in `contract` has an offset. Likewise of input and
            output channels, if they are grouped.
        before: Keras layer (or list of layers) that always runs, whose output `expand` reads; None for none.
        input_granularity: channels per group of what `expand` reads; None to leave them alone.
        output_granularity: filters per group of what `contract` gives; None to leave them alone.
        **kwargs: of keras.layers.Layer.

    Attributes:
        groups: how many groups `expand` has, once it is built; None before.
        counts: (groups of input channels, of `expand`, of output channels), once it is built; 1 for channels that are
            left alone.
        labels: a label for each group that is not forced, once it is built: 'in1' and so on of input channels, '1' and
            so on of `expand`, 'out1' and so on of output channels, in this order. Decisions come in it.

    Raises:
        ValueError: if a part is no layer and no list of layers, or one of its layers cannot be cut into groups, a
            granularity or forced are no positive ints, or, when it is built, a granularity does not divide the
            channels, or there are fewer groups than forced ones.

    Source: Herrmann et al., sections 1.1, 3.4 and 4.2, figure 2.
    """

    def __init__(
        self,
        expand,
        contract,
        granularity=16,
        forced=1,
        before=None,
        input_granularity=None,
        output_granularity=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive("granularity", granularity, "filters per group")
        check_positive("forced", forced, "groups")
        for name, value in (("input_granularity", input_granularity), ("output_granularity", output_granularity)):
            if value is not None:
                check_positive(name, value, "filters per group")
        self.expand, self.contract = as_layer(expand, "expand"), as_layer(contract, "contract")
        self.before = None if before is None else as_layer(before, "before")
        self.granularity, self.forced = granularity, forced
        self.input_granularity, self.output_granularity = input_granularity, output_granularity
        self.groups: Any = None
        self.counts: Any = None
        check_parts(self)

    def build(self, x_shape):
        """Builds both parts and counts the groups."""
        x = keras.KerasTensor(x_shape, dtype=self.compute_dtype)
        if self.before is not None:
            x = output_spec_built(self.before, x)
        spec = output_spec_built(self.expand, x)
        groups = self._count("granularity", self.granularity, spec, "filters")
        given = output_spec_built(self.contract, spec)
        self.counts = (
            self._count("input_granularity", self.input_granularity, x, "input channels"),
            groups,
            self._count("output_granularity", self.output_granularity, given, "output channels"),
        )
        self.groups = groups

    def _count(self, name, granularity, spec, what):
        """Returns how many groups the channels of a spec are, or raises if they cannot be grouped."""
        if granularity is None:
            return 1
        channels = spec.shape[-1]
        groups = count_groups(self.name, name, granularity, channels, what)
        if self.forced > groups:
            raise ValueError(
                f"forced must be at most the {groups} groups of {self.name!r}, {channels} {what} by {granularity}, got "
                f"{self.forced}."
            )
        return groups

    @property
    def labels(self):
        """A label for each group that is not forced, in the order of decisions; [] before it is built."""
        if self.counts is None:
            return []
        sides = zip(("in", "", "out"), self.counts, strict=True)
        return [f"{side}{k}" for side, groups in sides for k in range(self.forced, groups)]

    @property
    def narrowest(self):
        """Filters per group of `expand`."""
        return self.granularity

    @property
    def described(self):
        """The groups in a few words."""
        inputs, groups, outputs = self.counts
        ends = ((inputs, "input"), (outputs, "output"))
        further = "".join(f", {count} groups of {what} channels" for count, what in ends if count > 1)
        return f"{groups} groups of {self.granularity} filters, {self.forced} forced{further}"

    def split(self, values):
        """Returns three lists: of the labels' values those of input channels, of `expand`, and of output channels."""
        first, second = (max(0, count - self.forced) for count in self.counts[:2])
        return values[:first], values[first : first + second], values[first + second :]

    def read(self, x, decisions=(), training=None):
        """Returns what `expand` reads, under decisions on input channels."""
        return self._masked(x if self.before is None else self.before(x, training=training), decisions)

    def total(self, x, decisions=(), training=None):
        """Returns contract(mask * expand(x)), under decisions on the groups of `expand`."""
        return self.contract(self._masked(self.expand(x, training=training), decisions), training=training)

    def finish(self, x, decisions=(), training=None):
        """Returns what `contract` gave, under decisions on output channels."""
        return self._masked(x, decisions)

    def _masked(self, x, decisions):
        """Returns x times the decisions on those of its groups that are not forced; empty leaves x as it is."""
        return mask_channels(x, [1.0] * self.forced + list(decisions)) if decisions else x

    def paths(self, x, constant=None):
        """Returns paths that add up to what expand and contract give, see slices.sliced_paths."""
        return sliced_paths(self, x, constant)

    def pruned_layers(self, x, runs):
        """Returns the body without the filters of groups that do not run, as layers, see slices.slice_groups."""
        inputs, groups, outputs = (
            [*range(self.forced), *(self.forced + k for k, run in enumerate(side) if run)] for side in self.split(runs)
        )
        read, _, given = self.counts
        ends = {"inputs": inputs if len(inputs) < read else None, "outputs": outputs if len(outputs) < given else None}
        left = slice_groups(self, x, groups, **ends)
        return [left] if self.before is None else [self.before, left]

    def compute_output_spec(self, x, decisions=None, training=None):
        """Returns the spec of what `contract` gives."""
        return output_spec(self.contract, output_spec(self.expand, self.grouped_input(x)))

    def grouped_input(self, x):
        """Returns the spec of what `expand` reads, for x of this spec."""
        return x if self.before is None else output_spec(self.before, x)

    def cost_node(self, x, guards) -> Node:
        """Returns the cost of what comes before and, see group_nodes, of the groups.

        Args:
            x: spec of the input.
            guards: Guard or None, for each of labels.
        """
        before = () if self.before is None else (tree(self.before, x, "before"),)
        return Node(self.name, children=(*before, *group_nodes(self, self.grouped_input(x), guards)))
