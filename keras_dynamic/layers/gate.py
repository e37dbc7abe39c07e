"""Gates: from a unit's input, or from nothing, to the logit of running it."""

import math

import keras
from keras import ops

from keras_dynamic.cost import register
from keras_dynamic.messages import check_open_probability


def _leaf(x):
    """Returns the one tensor that a gate reads: x itself, or the first leaf of a nest."""
    return keras.tree.flatten(x)[0]


def _leaf_shape(shapes):
    """Returns the shape of that tensor, given the nest of shapes that Keras hands to build."""
    if isinstance(shapes, dict):
        return _leaf_shape(shapes[min(shapes)])
    return _leaf_shape(shapes[0]) if isinstance(shapes[0], (dict, list, tuple)) else tuple(shapes)


@keras.saving.register_keras_serializable("keras_dynamic")
class Gate(keras.layers.Layer):
    """Data-dependent gate: global average pool, 1x1 to `hidden`, batch norm, ReLU, two logits.

    Args:
        hidden: width of the hidden layer.
        open_probability: probability of running that an untrained gate gives, in (0, 1).
        **kwargs: of keras.layers.Layer; gates compute in float32 unless told otherwise.

    Raises:
        ValueError: if open_probability is not in (0, 1), or the input is not [batch, height, width, channels].

    Source: AIG (Veit and Belongie 2018); Herrmann et al., sections 1.1 and S1.4.
    """

    def __init__(self, hidden=16, open_probability=0.98, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.hidden = hidden
        self.open_probability = check_open_probability(open_probability)
        self.project = keras.layers.Dense(hidden, use_bias=False, dtype="float32", name="project")
        self.norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32", name="norm")

    def build(self, x_shape):
        shape = _leaf_shape(x_shape)
        if len(shape) != 4:
            raise ValueError(f"a gate reads [batch, height, width, channels], got shape {tuple(shape)}.")
        self.project.build((shape[0], shape[-1]))
        self.norm.build((shape[0], self.hidden))
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        self.kernel = self.add_weight(shape=(self.hidden, 2), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(2,), initializer=_Constant((0.0, odds)), name="bias")

    def call(self, x, training=None):
        """Returns the logit of running, w1 - w0, float32 [batch], for x [batch, height, width, channels]."""
        pooled = ops.mean(ops.cast(_leaf(x), "float32"), axis=(1, 2))
        features = ops.relu(self.norm(self.project(pooled), training=training))
        kernel = self.kernel[:, 1:] - self.kernel[:, :1]
        return ops.reshape(ops.matmul(features, kernel), (-1,)) + (self.bias[1] - self.bias[0])

    def compute_output_spec(self, x, training=None):
        """Returns the spec of the logits."""
        return keras.KerasTensor((_leaf(x).shape[0],), dtype="float32")

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "hidden": self.hidden, "open_probability": self.open_probability}


@register(Gate)
def _gate_cost(layer, inputs):
    """channels x hidden + hidden: the two logits are one after folding, pooling has no multiply-adds."""
    return _leaf(inputs).shape[-1] * layer.hidden + layer.hidden


@keras.saving.register_keras_serializable("keras_dynamic")
class FreeGate(keras.layers.Layer):
    """Data-independent gate: two logits that are weights of the network. Training it is pruning.

    Args:
        open_probability: probability of running that an untrained gate gives, in (0, 1).
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if open_probability is not in (0, 1).

    Source: Herrmann et al., section 3.2 (the independent case).
    """

    def __init__(self, open_probability=0.98, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.open_probability = check_open_probability(open_probability)

    def build(self, x_shape):
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        self.logits = self.add_weight(shape=(2,), initializer=_Constant((-odds / 2, odds / 2)), name="logits")

    def call(self, x, training=None):
        """Returns the logit of running, w1 - w0, float32 [batch], the same for all images."""
        return ops.broadcast_to(self.logits[1] - self.logits[0], (ops.shape(_leaf(x))[0],))

    def compute_output_spec(self, x, training=None):
        """Returns the spec of the logits."""
        return keras.KerasTensor((_leaf(x).shape[0],), dtype="float32")

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "open_probability": self.open_probability}


@register(FreeGate)
def _free_gate_cost(layer, inputs):
    return 0


class _Constant(keras.initializers.Initializer):
    """Fills a vector with given values."""

    def __init__(self, values):
        self.values = tuple(values)

    def __call__(self, shape, dtype=None):
        """Returns the values as a tensor."""
        return ops.convert_to_tensor(self.values, dtype=dtype)
