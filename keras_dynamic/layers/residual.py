"""The residual unit around a user's own block."""

import keras

from keras_dynamic.cost import Guard, Node, output_spec, register, tree
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.layers.unit import Unit
from keras_dynamic.ops import blend

MASKS = ("product", "convex")


@keras.saving.register_keras_serializable("keras_dynamic")
class Residual(Unit):
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
        super().__init__(**kwargs)
        if mask not in MASKS:
            raise ValueError(f"mask must be one of {MASKS}, got {mask!r}.")
        self.body = as_layer(body, "body")
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

    def branch(self, x, training=None, groups=None):
        """Returns activation(shortcut(x) + body(x)), of the body with some of its pieces."""
        return self.joined(x, self._run(x, training, groups), training)

    def _run(self, x, training, groups):
        if groups is None:
            return self.body(x, training=training)
        if not isinstance(self.body, GroupedBody):
            raise ValueError(
                f"unit {self.name!r} has no groups that could be switched, got decisions on {len(groups)}."
            )
        return self.body(x, decisions=groups, training=training)

    def otherwise(self, x, training=None):
        """Returns activation(shortcut(x))."""
        return self.activation(self._skip(x, training))

    def masked(self, x, decision, training=None, groups=None):
        """Returns the masked reading in the form that `mask` names."""
        run = self._run(x, training, groups)
        if self.mask == "convex":
            skip = self._skip(x, training)
            return blend(decision, self.activation(skip + run), self.activation(skip))
        decision = keras.ops.reshape(decision, (-1,) + (1,) * (len(run.shape) - 1))
        return self.joined(x, keras.ops.cast(decision, run.dtype) * run, training)

    @property
    def group_names(self):
        """Names of the decisions on the pieces of the body; () if it is no GroupedBody."""
        if not isinstance(self.body, GroupedBody):
            return ()
        return tuple(f"{self.name}[{label}]" for label in self.body.labels)

    def joined(self, x, added, training=None):
        """Returns activation(shortcut(x) + added)."""
        return self.activation(self._skip(x, training) + added)

    def compute_output_spec(self, x, decision=None, training=None, groups=None):
        """Returns the spec of the output, which is the body's."""
        return output_spec(self.body, x)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the shortcut's cost, and the body's under guard, that of its pieces under theirs."""
        children = () if self.shortcut is None else (tree(self.shortcut, x, f"{self.name}/shortcut"),)
        body = self.body.cost_node(x, groups) if groups else tree(self.body, x)
        return Node(self.name, children=(*children, body._replace(name=f"{self.name}/body", when=guard)))

    def get_config(self):
        """Returns the arguments, layers serialized."""
        return {
            **super().get_config(),
            "body": keras.saving.serialize_keras_object(self.body),
            "shortcut": keras.saving.serialize_keras_object(self.shortcut),
            "activation": keras.activations.serialize(self.activation),
            "mask": self.mask,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the unit from get_config()."""
        unpack = keras.saving.deserialize_keras_object
        return cls(**{**config, **{part: unpack(config[part]) for part in ("body", "shortcut")}})


@register(Residual)
def _cost(layer, inputs):
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
