"""The unit of dense networks: what it adds stands beside its input."""

import keras
from keras import ops

from keras_dynamic.cost import Guard, Node, output_spec, register, tree
from keras_dynamic.layers.residual import as_layer, output_spec_built
from keras_dynamic.layers.unit import Unit


@keras.saving.register_keras_serializable("keras_dynamic")
class Concatenated(Unit):
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

    def __init__(self, body, **kwargs):
        super().__init__(**kwargs)
        self.body = as_layer(body, "body")

    def build(self, x_shape):
        """Builds the body and checks that it keeps all axes but the last."""
        made = output_spec_built(self.body, keras.KerasTensor(x_shape, dtype=self.compute_dtype))
        if tuple(made.shape[:-1]) != tuple(x_shape[:-1]):
            raise ValueError(
                f"unit {self.name!r}: body gives shape {tuple(made.shape)} for input {tuple(x_shape)}, and only the "
                "last axis, the channels, may differ; give a body that keeps the size."
            )

    def branch(self, x, training=None):
        """Returns body(x)."""
        return self.body(x, training=training)

    def otherwise(self, x, training=None):
        """Returns zeros of body(x)'s shape."""
        channels = output_spec(self.body, x).shape[-1]
        return ops.zeros((*ops.shape(x)[:-1], channels), dtype=x.dtype)

    def masked(self, x, decision, training=None, groups=None):
        """Returns decision * body(x)."""
        made = self.body(x, training=training)
        decision = ops.reshape(decision, (-1,) + (1,) * (len(made.shape) - 1))
        return ops.cast(decision, made.dtype) * made

    def combine(self, x, y):
        """Returns x and y along the channels."""
        return ops.concatenate([x, y], axis=-1)

    def compute_output_spec(self, x, decision=None, training=None, groups=None):
        """Returns the spec of the output: that of x with the body's channels added."""
        made = output_spec(self.body, x)
        return keras.KerasTensor((*x.shape[:-1], x.shape[-1] + made.shape[-1]), dtype=made.dtype)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the body's cost under guard."""
        return Node(self.name, children=(tree(self.body, x, f"{self.name}/body")._replace(when=guard),))

    def get_config(self):
        """Returns the arguments, the body serialized."""
        return {**super().get_config(), "body": keras.saving.serialize_keras_object(self.body)}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the unit from get_config()."""
        return cls(**{**config, "body": keras.saving.deserialize_keras_object(config["body"])})


@register(Concatenated)
def _cost(layer, inputs):
    return layer.cost_node(inputs, None)
