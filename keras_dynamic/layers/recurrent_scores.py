"""One score per step of an LSTM that looks at the same features again and again."""

import math

import keras
from keras import ops

from keras_dynamic.cost import Node, register
from keras_dynamic.messages import check_open_probability, is_count


@keras.saving.register_keras_serializable("keras_dynamic")
class RecurrentScores(keras.layers.Layer):
    """LSTM from features to a sequence of scores: what it has said so far is in its state.

    The features are the input of every step, so their part of the gates is computed once; the state starts at zero, so
    the first step has no other part. Steps are written out one after the other, without a loop, which every TFLite
    runtime runs.

    Args:
        steps: scores to give, at least 1.
        hidden: size of the state.
        open_probability: sigmoid of an untrained score, about, in (0, 1).
        **kwargs: of keras.layers.Layer; it computes in float32 unless told otherwise.

    Raises:
        ValueError: if steps or hidden is no positive int, open_probability is outside (0, 1), or the input is not
            [batch, features].
    """

    def __init__(self, steps, hidden=64, open_probability=0.5, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        for name, value, meaning in (("steps", steps, "the scores to give"), ("hidden", hidden, "the state's size")):
            if not is_count(value):
                raise ValueError(f"{name}, {meaning}, must be a positive int, got {value!r}.")
        self.steps, self.hidden = steps, hidden
        self.open_probability = check_open_probability(open_probability)
        width, dtype = 4 * hidden, self.dtype_policy
        self.look = keras.layers.Dense(width, bias_initializer=_ForgetBias(), dtype=dtype, name="look")
        self.remember = keras.layers.Dense(
            width, use_bias=False, kernel_initializer="orthogonal", dtype=dtype, name="remember"
        )
        self.score = keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(math.log(open_probability / (1.0 - open_probability))),
            dtype=dtype,
            name="score",
        )

    def build(self, features_shape):
        """Builds its three dense layers."""
        if len(features_shape) != 2:
            raise ValueError(f"RecurrentScores reads features [batch, features], got shape {tuple(features_shape)}.")
        self.look.build(features_shape)
        self.remember.build((features_shape[0], self.hidden))
        self.score.build((None, self.hidden))

    def call(self, features):
        """Returns the scores [batch, steps] for features [batch, features]."""
        seen = self.look(features)
        states, state, cell = [], None, None
        for _ in range(self.steps):
            gates = seen if state is None else seen + self.remember(state)
            # Slices: of a split, whose second part the first step leaves unused, TFLite's int8 calibration may fail.
            take, keep, new, give = (gates[:, k * self.hidden : (k + 1) * self.hidden] for k in range(4))
            added = ops.sigmoid(take) * ops.tanh(new)
            cell = added if cell is None else ops.sigmoid(keep) * cell + added
            state = ops.sigmoid(give) * ops.tanh(cell)
            states.append(state)
        rows = ops.reshape(ops.stack(states, axis=1), (-1, self.hidden))  # TFLite Micro concatenates 10 at most
        return ops.reshape(self.score(rows), (-1, self.steps))

    def compute_output_spec(self, features):
        """Returns the spec of the scores."""
        return keras.KerasTensor((features.shape[0], self.steps), dtype=self.compute_dtype)

    def get_config(self):
        """Returns the arguments."""
        config = {"steps": self.steps, "hidden": self.hidden, "open_probability": self.open_probability}
        return {**super().get_config(), **config}


@register(RecurrentScores)
def _cost(layer, inputs):
    """The features' part of the gates once, the state's at every step but the first, a score per step."""
    width, hidden = 4 * layer.hidden, layer.hidden
    features = inputs.shape[-1]
    parts = (
        Node("look", features * width, features * width + width),
        Node("remember", (layer.steps - 1) * hidden * width, hidden * width),
        Node("score", layer.steps * hidden, hidden + 1),
    )
    return Node(layer.name, children=parts)


class _ForgetBias(keras.initializers.Initializer):
    """Ones for the forget gate, which stands second of four, zeros for the others."""

    def __call__(self, shape, dtype=None):
        """Returns the bias as a tensor of this shape, [4 x hidden]."""
        quarter = shape[0] // 4
        zeros = ops.zeros((quarter,), dtype=dtype)
        return ops.concatenate([zeros, ops.ones((quarter,), dtype=dtype), zeros, zeros])
