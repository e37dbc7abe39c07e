"""Gates: from a unit's input, or from trained constants, to the logit of running it."""

import math

import keras
from keras import ops

from keras_dynamic.cost import Node, register, tree
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import check_open_probability, is_count


def _leaf(x):
    """Returns the one tensor that a gate reads: x itself, or the first leaf of a nest."""
    return keras.tree.flatten(x)[0]


def _leaf_shape(shapes):
    """Returns the shape of that tensor, given the nest of shapes that Keras passes to build."""
    if isinstance(shapes, dict):
        return _leaf_shape(shapes[min(shapes)])
    return _leaf_shape(shapes[0]) if isinstance(shapes[0], (dict, list, tuple)) else tuple(shapes)


def pooled(x):
    """Returns the means of x's channels, float32 [batch, channels]; of a nest, its first leaf's."""
    x = ops.cast(_leaf(x), "float32")
    between = tuple(range(1, len(x.shape) - 1))  # height and width, or time
    return ops.mean(x, axis=between) if between else x


@keras.saving.register_keras_serializable("keras_dynamic")
class Gate(SavedArguments):
    """Data-dependent gate: mean of each channel, dense to `hidden`, batch norm, ReLU, two logits for each decision.

    Args:
        hidden: width of the hidden layer.
        open_probability: probability of running that an untrained gate gives, in (0, 1).
        groups: decisions, of channel groups; None for one, on a unit.
        memory: width of a further hidden layer that lets the groups' gates depend on one another: linear, batch norm,
            ReLU, linear on all their tentative logits; None for none.
        outputs: numbers of the groups, from 0 and rising, whose logits it gives; None for all.
        **kwargs: of keras.layers.Layer; gates compute in float32 by default.

    Raises:
        ValueError: if open_probability is not in (0, 1), hidden or memory is no positive int, there are no groups for
            memory or outputs, or outputs are no such numbers.

    Source: AIG (Veit and Belongie 2018); Herrmann et al., sections 1.1, S1.3 (memory) and S1.4. With memory the paper
    passes on "the output of all gates in their current form"; here these are the logits of running, w1 - w0.
    """

    def __init__(self, hidden=16, open_probability=0.98, groups=None, memory=None, outputs=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.outputs = _check_outputs(outputs, groups)
        self.hidden, self.groups, self.memory = check_hidden(hidden), groups, check_memory(memory)
        self.open_probability = check_open_probability(open_probability)
        if memory is not None:
            if groups is None:
                raise ValueError("memory is between the gates of a unit's groups, got a gate without groups.")
            self.share = keras.layers.Dense(memory, use_bias=False, dtype="float32", name="share")
            self.share_norm = keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, dtype="float32", name="share_norm"
            )
        self.project = keras.layers.Dense(hidden, use_bias=False, dtype="float32", name="project")
        self.norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32", name="norm")

    def build(self, x_shape):
        """Creates the weights for inputs of one shape, [batch, ..., channels]."""
        shape = _leaf_shape(x_shape)
        if len(shape) < 2:
            raise ValueError(f"a gate reads [batch, ..., channels], got shape {tuple(shape)}.")
        self.project.build((shape[0], shape[-1]))
        self.norm.build((shape[0], self.hidden))
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        count = self.groups or 1
        start = _Constant([0.0] * count + [odds] * count)
        self.kernel = self.add_weight(shape=(self.hidden, 2 * count), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(2 * count,), initializer=start, name="bias")
        if self.memory is not None:
            self.share.build((shape[0], count))
            self.share_norm.build((shape[0], self.memory))
            size = (self.memory, 2 * count)
            self.last_kernel = self.add_weight(shape=size, initializer="glorot_uniform", name="last_kernel")
            self.last_bias = self.add_weight(shape=(2 * count,), initializer=start, name="last_bias")

    def call(self, x, training=None):
        """Returns the logits of running, w1 - w0, for x [batch, ..., channels].

        Returns:
            float32 [batch], or [batch, groups] for groups, or as many of them as `outputs` names.
        """
        features = ops.relu(self.norm(self.project(pooled(x)), training=training))
        if self.memory is None:
            logits = _log_odds(features, self.kernel, self.bias, self.outputs)
        else:
            tentative = _log_odds(features, self.kernel, self.bias)
            features = ops.relu(self.share_norm(self.share(tentative), training=training))
            logits = _log_odds(features, self.last_kernel, self.last_bias, self.outputs)
        return ops.reshape(logits, (-1,)) if self.groups is None else logits

    def compute_output_spec(self, x, training=None):
        """Returns the spec of the logits."""
        return keras.KerasTensor(_logits_shape(self, x), dtype="float32")


@register(Gate)
def _gate_cost(layer, inputs):
    """channels x hidden + hidden a decision: the two logits are one after folding, pooling has no multiply-adds."""
    count = layer.groups or 1
    given = count if layer.outputs is None else len(layer.outputs)
    project = _leaf(inputs).shape[-1] * layer.hidden
    if layer.memory is None:
        return project + layer.hidden * given
    return project + layer.hidden * count + layer.memory * (count + given)


def check_hidden(hidden):
    """Returns the width of the hidden layer, or raises if it is no positive int."""
    if not is_count(hidden):
        raise ValueError(f"hidden must be the width of a hidden layer, a positive int, got {hidden!r}.")
    return hidden


def check_memory(memory):
    """Returns the width of the layer between gates, or raises if it is neither None nor a positive int."""
    if memory is not None and not is_count(memory):
        raise ValueError(f"memory must be the width of a hidden layer, a positive int, or None, got {memory!r}.")
    return memory


def _check_outputs(outputs, groups):
    """Returns outputs as a tuple, or raises if they are no numbers of groups, rising."""
    if outputs is None:
        return None
    if groups is None or not outputs or list(outputs) != sorted(set(outputs) & set(range(groups))):
        raise ValueError(
            f"outputs must be numbers of the gate's {groups or 0} groups, from 0 and rising, got {outputs!r}."
        )
    return tuple(outputs)


def _log_odds(features, kernel, bias, outputs=None):
    """Returns w1 - w0, [batch, decisions], of two linear outputs for each decision, w0 of all before w1 of all."""
    count = bias.shape[0] // 2
    weights, offset = kernel[:, count:] - kernel[:, :count], bias[count:] - bias[:count]
    if outputs is not None:
        weights, offset = ops.take(weights, outputs, axis=1), ops.take(offset, outputs, axis=0)
    return ops.matmul(features, weights) + offset


@keras.saving.register_keras_serializable("keras_dynamic")
class ConvolutionGate(SavedArguments):
    """Gate that looks at places: 3x3 convolution of stride 2, batch norm, ReLU, mean of each channel, dense.

    Args:
        groups: decisions that it gives logits for.
        filters: of the convolution; None for as many as the input has channels.
        bottleneck: filters of a 1x1 convolution with batch norm and ReLU before it; None for none.
        open_probability: probability of running that an untrained gate gives, about, in (0, 1).
        **kwargs: of keras.layers.Layer; gates compute in float32 by default.

    Raises:
        ValueError: if groups, filters or bottleneck is no positive int, open_probability is not in (0, 1), or, when it
            is built, the input is no sequence or feature map.

    Source: DDI, section 3.1.2, figure 2(b), and section 3.1.3 (bottleneck).
    """

    def __init__(self, groups, filters=None, bottleneck=None, open_probability=0.98, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        for name, value in (("groups", groups), ("filters", filters), ("bottleneck", bottleneck)):
            if not is_count(value) and (value is not None or name == "groups"):
                raise ValueError(
                    f"{name} must be a positive int{'' if name == 'groups' else ' or None'}, got {value!r}."
                )
        self.groups, self.filters, self.bottleneck = groups, filters, bottleneck
        self.open_probability = check_open_probability(open_probability)

    def build(self, x_shape):
        """Makes the layers for inputs of one shape, [batch, ..., channels]."""
        shape = _leaf_shape(x_shape)
        kinds = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D}
        if len(shape) not in kinds:
            raise ValueError(f"a ConvolutionGate reads sequences or feature maps, got shape {tuple(shape)}.")
        exact = {"dtype": "float32"}
        parts: list[keras.layers.Layer] = []
        sizes = [] if self.bottleneck is None else [(self.bottleneck, 1, 1)]
        for filters, size, stride in (*sizes, (self.filters or shape[-1], 3, 2)):
            parts += [
                kinds[len(shape)](filters, size, strides=stride, padding="same", use_bias=False, **exact),
                keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **exact),
                keras.layers.ReLU(**exact),
            ]
        self.look = keras.Sequential(parts, name="look")
        self.look.build(shape)
        odds = keras.initializers.Constant(math.log(self.open_probability / (1.0 - self.open_probability)))
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.score = keras.layers.Dense(
            self.groups, kernel_initializer=small, bias_initializer=odds, name="score", **exact
        )
        self.score.build((shape[0], self.filters or shape[-1]))

    def call(self, x, training=None):
        """Returns the logits of running, float32 [batch, groups], for x [batch, ..., channels]."""
        return self.score(pooled(self.look(ops.cast(_leaf(x), "float32"), training=training)))

    def compute_output_spec(self, x, training=None):
        """Returns the spec of the logits."""
        return keras.KerasTensor((_leaf(x).shape[0], self.groups), dtype="float32")


@register(ConvolutionGate)
def _convolution_gate_cost(layer, inputs):
    leaf = _leaf(inputs)
    means = keras.KerasTensor((leaf.shape[0], layer.score.kernel.shape[0]))
    return Node(layer.name, children=(tree(layer.look, leaf), tree(layer.score, means)))


@keras.saving.register_keras_serializable("keras_dynamic")
class StaticGate(SavedArguments):
    """Data-independent gate: two logits for each decision that are weights of the network. Training it is pruning.

    Args:
        open_probability: probability of running that an untrained gate gives, in (0, 1).
        groups: decisions, of channel groups; None for one, on a unit.
        outputs: as of Gate.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if open_probability is not in (0, 1), or outputs are no numbers of groups.

    Source: Herrmann et al., section 3.2 (the independent case).
    """

    def __init__(self, open_probability=0.98, groups=None, outputs=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.groups, self.outputs = groups, _check_outputs(outputs, groups)
        self.open_probability = check_open_probability(open_probability)

    def build(self, x_shape):
        """Creates the logits, which depend on no input."""
        odds = math.log(self.open_probability / (1.0 - self.open_probability))
        count = self.groups or 1
        start = _Constant([-odds / 2] * count + [odds / 2] * count)
        self.logits = self.add_weight(shape=(2 * count,), initializer=start, name="logits")

    def call(self, x, training=None):
        """Returns the logits of running, w1 - w0, the same for all images; shapes as Gate."""
        batch = ops.shape(_leaf(x))[0]
        if self.groups is None:
            return ops.broadcast_to(self.logits[1] - self.logits[0], (batch,))
        logits = self.logits[self.groups :] - self.logits[: self.groups]
        if self.outputs is not None:
            logits = ops.take(logits, self.outputs, axis=0)
        return ops.broadcast_to(logits, (batch, logits.shape[0]))

    def compute_output_spec(self, x, training=None):
        """Returns the spec of the logits."""
        return keras.KerasTensor(_logits_shape(self, x), dtype="float32")


@register(StaticGate)
def _free_gate_cost(layer, inputs):
    return 0


def _logits_shape(gate, x):
    batch = _leaf(x).shape[0]
    return (batch,) if gate.groups is None else (batch, len(gate.outputs or range(gate.groups)))


class _Constant(keras.initializers.Initializer):
    """Fills a vector with given values."""

    def __init__(self, values):
        self.values = tuple(values)

    def __call__(self, shape, dtype=None):
        """Returns the values as a tensor."""
        return ops.convert_to_tensor(self.values, dtype=dtype)


def lstm_step(gates, cell=None):
    """Returns an LSTM's state and cell after a step, each [batch, hidden].

    Args:
        gates: float tensor [batch, 4 x hidden]: input, forget, new values, output, before their activations.
        cell: before the step, [batch, hidden]; None for zeros, at the first step.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000.
    """
    hidden = gates.shape[-1] // 4
    # Slices: of a split, whose second part the first step leaves unused, TFLite's int8 calibration may fail.
    take, keep, new, give = (gates[:, k * hidden : (k + 1) * hidden] for k in range(4))
    added = ops.sigmoid(take) * ops.tanh(new)
    cell = added if cell is None else ops.sigmoid(keep) * cell + added
    return ops.sigmoid(give) * ops.tanh(cell), cell


@keras.saving.register_keras_serializable("keras_dynamic")
class RecurrentScores(SavedArguments):
    """LSTM from features to a sequence of scores; its state depends on the scores so far.

    The features are the input of every step, so their part of the gates is computed once; the state starts at zero, so
    the first step has no other part. Steps are written out one after the other, without a loop, which every TFLite
    runtime runs.

    Args:
        steps: scores to give, at least 1.
        hidden: size of the state.
        open_probability: sigmoid of an untrained score, about, in (0, 1).
        **kwargs: of keras.layers.Layer; it computes in float32 by default.

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
        self.look = keras.layers.Dense(width, bias_initializer=ForgetBias(), dtype=dtype, name="look")
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
            state, cell = lstm_step(seen if state is None else seen + self.remember(state), cell)
            states.append(state)
        rows = ops.reshape(ops.stack(states, axis=1), (-1, self.hidden))  # TFLite Micro concatenates 10 at most
        return ops.reshape(self.score(rows), (-1, self.steps))

    def compute_output_spec(self, features):
        """Returns the spec of the scores."""
        return keras.KerasTensor((features.shape[0], self.steps), dtype=self.compute_dtype)


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


class ForgetBias(keras.initializers.Initializer):
    """Ones for the forget gate, which stands second of four, zeros for the others."""

    def __call__(self, shape, dtype=None):
        """Returns the bias as a tensor of this shape, [4 x hidden]."""
        quarter = shape[0] // 4
        zeros = ops.zeros((quarter,), dtype=dtype)
        return ops.concatenate([zeros, ops.ones((quarter,), dtype=dtype), zeros, zeros])
