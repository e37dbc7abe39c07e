"""Units of a chain: residual, concatenating, or any subclass of Unit."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dynamic.cost import Guard, Node, output_spec, register, tree
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.ops import blend


class Decided(NamedTuple):
    """Decisions of a part of a network, {decision name: value} each.

    Attributes:
        decisions: 0 where the part that contains the decision is skipped.
        probabilities: of the decisions, likewise.
        conditional: the decisions under the condition that the part runs; the cost multiplies these.
        inferred: the decisions that inference would make, 0 where it would skip the part; {} unless in training.
        inferred_conditional: those under the condition that it would run the part; {} unless in training.
    """

    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    conditional: dict[str, Any]
    inferred: dict[str, Any] = {}  # noqa: RUF012  never changed in place
    inferred_conditional: dict[str, Any] = {}  # noqa: RUF012

    def within(self, decision, names=None):
        """Returns these decisions as those of a part that runs if a decision, [batch] or a bool, is 1.

        Args:
            decision: of the part.
            names: of the decisions that are inside of it; all by default.
        """
        ran = ops.stop_gradient(ops.cast(decision, "float32"))
        decisions, probabilities = (_multiplied(values, ran, names) for values in (self.decisions, self.probabilities))
        return self._replace(decisions=decisions, probabilities=probabilities)

    def inferred_within(self, decision, names=None):
        """Returns these as within does, for the decision that inference would make on the part."""
        if not self.inferred:
            return self
        ran = ops.stop_gradient(ops.cast(decision, "float32"))
        return self._replace(inferred=_multiplied(self.inferred, ran, names))

    def prefixed(self, prefix):
        """Returns these decisions as 'prefix/decision'."""
        return Decided(*({f"{prefix}/{name}": value for name, value in values.items()} for values in self))

    def merged(self, other):
        """Returns these decisions and others."""
        return Decided(*(own | more for own, more in zip(self, other, strict=True)))


def _multiplied(values, factor, names):
    """Returns {name: value}, those of these names, or all, multiplied by a factor [batch]."""
    inside = values if names is None else names
    return {name: factor * ops.cast(value, "float32") if name in inside else value for name, value in values.items()}


class Unit(SavedArguments):
    """A part of a network that runs or is skipped: combine(x, select(decision, branch(x), otherwise(x))).

    Subclasses write `branch` and `otherwise`, and `combine` and `masked` where the defaults do not fit. x is any nest
    of tensors [batch, ...]. A leaf that branch and otherwise both return unchanged is never selected.

    Attributes:
        skippable: False if the unit has nothing to run instead and so always runs.
        nested: True if branch takes (given, executor) and returns (y, Decided), because a dynamic network is inside.
    """

    skippable = True

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the decisions on groups of its channels; () if it has none."""
        return ()

    @property
    def nested(self) -> bool:
        """Whether a dynamic network is inside."""
        return False

    def branch(self, x, training=None):
        """Returns what the unit gives if it runs; units with group_names take `groups`, see call, as well."""
        raise NotImplementedError(f"{type(self).__name__} must define branch(x, training).")

    def otherwise(self, x, training=None):
        """Returns what stands in for branch(x) if the unit is skipped: same structure, same shapes."""
        raise NotImplementedError(f"{type(self).__name__} must define otherwise(x, training).")

    def combine(self, x, y):
        """Joins the unit's input and what select took; y itself by default."""
        return y

    def masked(self, x, decision, training=None, groups=None):
        """Returns branch and otherwise blended by a float decision [batch]; both are computed. Groups: see call."""
        run = self.branch(x, training=training, **_some(groups))
        return blend(decision, run, self.otherwise(x, training=training))

    def joined(self, x, added, training=None):
        """Returns what the unit gives if its groups add up to `added`; for units with group_names."""
        raise NotImplementedError(f"{type(self).__name__} must define joined(x, added, training).")

    def call(self, x, decision=None, training=None, groups=None):
        """Runs the masked execution and returns a nest of tensors.

        Args:
            x: nest of tensors, [batch, ...].
            decision: float tensor [batch] in [0, 1]; None runs the unit for all images.
            training: whether layers inside run in training mode.
            groups: list of float tensors [batch] in [0, 1] or numbers, one for each of group_names; None runs them all.
                They count where the unit runs.
        """
        if decision is None:
            return self.combine(x, self.branch(x, training=training, **_some(groups)))
        return self.combine(x, self.masked(x, decision, training=training, **_some(groups)))

    def skip(self, x, training=None):
        """Returns what the unit gives if all images skip it."""
        return self.combine(x, self.otherwise(x, training=training))

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the unit's cost tree: what always runs, and under a guard what runs only if the decision is 1.

        Args:
            x: spec of the input.
            guard: of the unit as a whole; None if it always runs.
            groups: guards of its groups, under that of the unit, one for each of group_names; () if they always run
                with the unit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define cost_node(x, guard, groups).")


def _some(groups):
    """Returns decisions on groups as an argument, which units without groups need not take."""
    return {} if groups is None else {"groups": groups}


@keras.saving.register_keras_serializable("keras_dynamic")
class PadShortcut(SavedArguments):
    """Takes every stride-th pixel and pads with zero channels, the same number before and after.

    Args:
        filters: channels of the output; at least the input's, by an even number more.
        stride: step in both directions.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if the channels cannot be padded evenly.

    Source: He et al. 2016, section 4.2 (option A).
    """

    def __init__(self, filters, stride=2, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.stride = filters, stride

    def build(self, x_shape):
        """Checks that the channels to add can be split in two."""
        extra = self.filters - x_shape[-1]
        if extra < 0 or extra % 2:
            raise ValueError(
                f"filters must exceed the input's {x_shape[-1]} channels by an even number, got {self.filters}."
            )

    def call(self, x):
        """Returns [batch, height / stride, width / stride, filters] for x [batch, height, width, channels]."""
        side = (self.filters - x.shape[-1]) // 2
        # On CPUs TensorFlow's strided slice takes ten times as long as this pool, which gives the same.
        taken = x if self.stride == 1 else ops.average_pool(x, 1, self.stride)
        return ops.pad(taken, [[0, 0], [0, 0], [0, 0], [side, side]])


@register(PadShortcut)
def _pad_shortcut_cost(layer, inputs):
    return 0


MASKS = ("product", "convex")


class BodyUnit(Unit):
    """A unit whose work is that of one layer, its body, which may be cut into groups: the base of those below.

    Args:
        body: Keras layer (or list of layers, run in sequence) whose work a decision saves.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, body, **kwargs):
        super().__init__(**kwargs)
        self.body = as_layer(body, "body")

    @property
    def group_names(self):
        """Names of the decisions on the pieces of the body; () if it is no GroupedBody."""
        if not isinstance(self.body, GroupedBody):
            return ()
        return tuple(f"{self.name}[{label}]" for label in self.body.labels)

    @property
    def replaceable(self) -> bool:
        """Whether with_body gives the same with another body: of derived classes only if they define it themselves."""
        return "with_body" in vars(type(self))

    def with_body(self, body):
        """Returns a unit like this one around another body, with this one's other layers; not built."""
        raise NotImplementedError(f"{type(self).__name__} must define with_body(body).")

    def branch(self, x, training=None, groups=None):
        """Returns what the unit gives with the body, or with some of its pieces."""
        return self.joined(x, self._run(x, training, groups), training)

    def masked(self, x, decision, training=None, groups=None):
        """Returns what the unit gives with decision * body(x)."""
        run = self._run(x, training, groups)
        decision = ops.reshape(decision, (-1,) + (1,) * (len(run.shape) - 1))
        return self.joined(x, ops.cast(decision, run.dtype) * run, training)

    def _run(self, x, training, groups):
        if groups is None:
            return self.body(x, training=training)
        if not isinstance(self.body, GroupedBody):
            raise ValueError(
                f"unit {self.name!r} has no groups that could be switched, got decisions on {len(groups)}."
            )
        return self.body(x, decisions=groups, training=training)

    def _body_node(self, x, guard, groups) -> Node:
        """Returns the body's cost under guard, that of its pieces under theirs."""
        node = self.body.cost_node(x, groups) if groups else tree(self.body, x)
        return node._replace(name=f"{self.name}/body", when=guard)


@keras.saving.register_keras_serializable("keras_dynamic")
class Residual(BodyUnit):
    """activation(shortcut(x) + body(x)) if it runs, activation(shortcut(x)) if it is skipped.

    Args:
        body: Keras layer (or list of layers, run in sequence) whose work a decision saves.
        shortcut: Keras layer for the other way, None for the identity. It always runs.
        activation: activation after the sum, by name or function; None for none.
        mask: 'product' multiplies the decision into the body, activation(shortcut + d * body); 'convex' blends the two
            results, d * run + (1 - d) * skip. The values are the same for decisions in {0, 1}, the gradients are not.
            Groups of channels are always multiplied.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if body's and shortcut's outputs have different shapes, or mask is unknown.

    Source: BlockDrop, section 3; Herrmann et al., section 1.1 (product); DDI, equation 1 (convex).
    """

    def __init__(self, body, shortcut=None, activation=None, mask="product", **kwargs):
        super().__init__(body, **kwargs)
        if mask not in MASKS:
            raise ValueError(f"mask must be one of {MASKS}, got {mask!r}.")
        self.shortcut = None if shortcut is None else as_layer(shortcut, "shortcut")
        self.activation = keras.activations.get(activation)
        self.mask = mask

    def build(self, x_shape):
        """Builds the body and the shortcut and checks that they give one shape."""
        x = keras.KerasTensor(x_shape, dtype=self.compute_dtype)
        run, skip = output_spec_built(self.body, x), x
        if self.shortcut is not None:
            skip = output_spec_built(self.shortcut, x)
        if tuple(run.shape) != tuple(skip.shape):
            raise ValueError(
                f"unit {self.name!r}: body gives shape {tuple(run.shape)} and shortcut {tuple(skip.shape)}, which must "
                "be the same; give a shortcut that changes the shape as the body does."
            )

    def _skip(self, x, training):
        return x if self.shortcut is None else self.shortcut(x, training=training)

    def with_body(self, body):
        """Returns a Residual around another body, with this one's shortcut."""
        return Residual(body, self.shortcut, self.activation, self.mask, name=self.name, dtype=self.dtype_policy)

    def otherwise(self, x, training=None):
        """Returns activation(shortcut(x))."""
        return self.activation(self._skip(x, training))

    def masked(self, x, decision, training=None, groups=None):
        """Returns the masked execution in the form that `mask` names."""
        if self.mask == "product":
            return super().masked(x, decision, training, groups)
        run, skip = self._run(x, training, groups), self._skip(x, training)
        return blend(decision, self.activation(skip + run), self.activation(skip))

    def joined(self, x, added, training=None):
        """Returns activation(shortcut(x) + added)."""
        return self.activation(self._skip(x, training) + added)

    def compute_output_spec(self, x, decision=None, training=None, groups=None):
        """Returns the spec of the output, which is the body's."""
        return output_spec(self.body, x)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the shortcut's cost, and the body's under guard, that of its pieces under theirs."""
        children = () if self.shortcut is None else (tree(self.shortcut, x, f"{self.name}/shortcut"),)
        return Node(self.name, children=(*children, self._body_node(x, guard, groups)))

    def get_config(self):
        """Returns the arguments, layers serialized."""
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@register(Residual)
def _residual_cost(layer, inputs):
    return layer.cost_node(inputs, None)


def output_spec_built(layer, inputs):
    """Builds a layer for inputs of these specs if it is not built, and returns its output's spec."""
    if not layer.built:
        layer.build(inputs.shape)
    return output_spec(layer, inputs)


def as_layer(value, name):
    """Returns a layer as it is, a list of layers as a keras.Sequential of this name.

    Args:
        value: Keras layer, or list of layers that run in sequence.
        name: the argument's name, for the error too.

    Raises:
        ValueError: if value is neither.
    """
    if isinstance(value, (list, tuple)):
        return keras.Sequential(list(value), name=name)
    if not isinstance(value, keras.layers.Layer):
        raise ValueError(f"{name} must be a Keras layer or a list of layers, got {type(value).__name__} {value!r}.")
    return value


@keras.saving.register_keras_serializable("keras_dynamic")
class Concatenated(BodyUnit):
    """x and body(x) along the channels if it runs, x and zeros if it is skipped.

    The channels that a skipped unit leaves at zero are there for all later units, so shapes do not depend on decisions.

    Args:
        body: Keras layer (or list of layers, run in sequence) whose work a decision saves; its output has the size of
            its input.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if body's output differs from its input in more than its channels.

    Source: Huang et al., Densely Connected Convolutional Networks, equation 2.
    """

    def build(self, x_shape):
        """Builds the body and checks that it keeps all axes but the last."""
        made = output_spec_built(self.body, keras.KerasTensor(x_shape, dtype=self.compute_dtype))
        if tuple(made.shape[:-1]) != tuple(x_shape[:-1]):
            raise ValueError(
                f"unit {self.name!r}: body gives shape {tuple(made.shape)} for input {tuple(x_shape)}, and only the "
                "last axis, the channels, may differ; give a body that keeps the size."
            )

    def with_body(self, body):
        """Returns a Concatenated around another body."""
        return Concatenated(body, name=self.name, dtype=self.dtype_policy)

    def joined(self, x, added, training=None):
        """Returns `added`, which `combine` puts beside x."""
        return added

    def otherwise(self, x, training=None):
        """Returns zeros of body(x)'s shape."""
        channels = output_spec(self.body, x).shape[-1]
        return ops.zeros((*ops.shape(x)[:-1], channels), dtype=x.dtype)

    def combine(self, x, y):
        """Returns x and y along the channels."""
        return ops.concatenate([x, y], axis=-1)

    def compute_output_spec(self, x, decision=None, training=None, groups=None):
        """Returns the spec of the output: that of x with the body's channels added."""
        made = output_spec(self.body, x)
        return keras.KerasTensor((*x.shape[:-1], x.shape[-1] + made.shape[-1]), dtype=made.dtype)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the body's cost under guard, that of its pieces under theirs."""
        return Node(self.name, children=(self._body_node(x, guard, groups),))


@register(Concatenated)
def _concatenated_cost(layer, inputs):
    return layer.cost_node(inputs, None)
