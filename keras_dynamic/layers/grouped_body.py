"""The body of a unit whose work is cut into pieces."""

import keras

from keras_dynamic.cost import Node, register
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import is_count


class GroupedBody(SavedArguments):
    """finish(total(read(x))), cut into pieces that decisions switch off one by one.

    As the body of a Residual it makes a unit with a decision for each label, 'unit[label]', that deciders.ChannelGates
    makes. The masked execution runs the three steps with decisions as masks. The exporter may run `paths` in place of
    `total`; transform.strip_gates uses `pruned_layers`.

    Attributes:
        pieces: what a decision switches, in the plural, for messages.
    """

    pieces = "groups"

    @property
    def labels(self) -> list[str]:
        """A label for each piece that may be off, in the order of decisions; [] before it is built."""
        raise NotImplementedError(f"{type(self).__name__} must define labels.")

    @property
    def narrowest(self) -> int:
        """The fewest channels that a piece has."""
        raise NotImplementedError(f"{type(self).__name__} must define narrowest.")

    @property
    def described(self) -> str:
        """The pieces in a few words."""
        raise NotImplementedError(f"{type(self).__name__} must define described.")

    def split(self, values):
        """Returns three lists: of the labels' values those for `read`, for `total` and for `finish`."""
        return [], values, []

    def call(self, x, decisions=None, training=None):
        """Returns finish(total(read(x))), masked by decisions.

        Args:
            x: [batch, height, width, channels].
            decisions: list of float tensors [batch] or scalars, one for each of labels; None runs all.
            training: whether layers inside run in training mode.
        """
        if decisions is not None and len(decisions) != len(self.labels):
            raise ValueError(
                f"decisions must be one for each of the {len(self.labels)} {self.pieces} of {self.name!r} that are not "
                f"forced, got {len(decisions)}."
            )
        before, own, after = ((), (), ()) if decisions is None else self.split(decisions)
        return self.finish(self.total(self.read(x, before, training), own, training), after, training)

    def read(self, x, decisions=(), training=None):
        """Returns what the pieces read; empty decisions run all, here and below."""
        raise NotImplementedError(f"{type(self).__name__} must define read(x, decisions, training).")

    def total(self, x, decisions=(), training=None):
        """Returns the sum of the pieces of what they read, all of them computed."""
        raise NotImplementedError(f"{type(self).__name__} must define total(x, decisions, training).")

    def finish(self, x, decisions=(), training=None):
        """Returns what the body makes of the sum."""
        raise NotImplementedError(f"{type(self).__name__} must define finish(x, decisions, training).")

    def paths(self, x, constant=None) -> list[keras.layers.Layer]:
        """Returns layers, for inference, whose results for what `read` gives add up to `total`.

        Args:
            x: spec of the body's input.
            constant: for each decision in `total` True or False where it is the same for all images, else None;
                None for no such decision.

        Returns:
            The first is of all that always runs, and one follows for each decision that is not constant.

        Raises:
            ValueError: if the pieces do not add up.
        """
        raise NotImplementedError(f"{type(self).__name__} must define paths(x, constant).")

    def pruned_layers(self, x, runs) -> list[keras.layers.Layer]:
        """Returns ordinary layers that do what the body does if these pieces run for all images.

        Args:
            x: spec of the body's input.
            runs: True or False, for each of labels.
        """
        raise NotImplementedError(f"{type(self).__name__} must define pruned_layers(x, runs).")

    def cost_node(self, x, guards) -> Node:
        """Returns the cost of what always runs, and of each piece under its guard.

        Args:
            x: spec of the input.
            guards: Guard or None, for each of labels.
        """
        raise NotImplementedError(f"{type(self).__name__} must define cost_node(x, guards).")


@register(GroupedBody)
def _cost(layer, inputs):
    if not layer.built:
        layer.build(inputs.shape)
    return layer.cost_node(inputs, [None] * len(layer.labels))


def check_positive(name, value, meaning):
    """Raises a ValueError if an argument is no positive int.

    Args:
        name: of the argument.
        value: what came.
        meaning: what it is a number of, in the plural.
    """
    if not is_count(value):
        raise ValueError(f"{name} must be a positive int, {meaning}, got {value!r}.")


def count_groups(body, name, granularity, channels, what) -> int:
    """Returns how many groups channels are, or raises a ValueError if they are not divided.

    Args:
        body: the layer's name.
        name: of the argument that has the granularity.
        granularity: channels per group.
        channels: how many there are.
        what: what these are, in the plural.
    """
    if channels % granularity:
        divisors = [k for k in range(1, channels + 1) if channels % k == 0]
        nearest = min(divisors, key=lambda k: (abs(k - granularity), k))
        raise ValueError(f"{name} must divide the {channels} {what} of {body!r}, got {granularity}; take {nearest}.")
    return channels // granularity
