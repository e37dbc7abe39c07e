"""Adaptive computation time: units of a stage that run until their halting scores add up to one."""

import keras
from keras import layers, ops

from keras_dynamic.cost import Guard, Node, output_spec, register, tree
from keras_dynamic.layers.gates import pooled
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.layers.units import Unit, output_spec_built
from keras_dynamic.messages import check_fraction

FEATURES, MEAN, LEFT = "features", "mean", "left"


class _Scored(SavedArguments):
    """A unit's layer and its halting score: the sigmoid of a dense layer on the means of what the layer gives.

    Args:
        unit: Keras layer from features to features, which always runs as a whole.
        last: whether it is the last of its stage, which gets all weight that is left and needs no score.
        epsilon: share of the weight that need not be given out, in [0, 1).
        score_bias: of an untrained score.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, unit, last=False, epsilon=0.01, score_bias=-3.0, **kwargs):
        super().__init__(**kwargs, autocast=False)  # weights stay float32
        self.unit, self.last = unit, bool(last)
        self.epsilon, self.score_bias = check_fraction("epsilon", epsilon), float(score_bias)
        if self.epsilon == 1:
            raise ValueError("epsilon must be under 1, as with 1 every stage ends after its first unit, got 1.")
        bias = keras.initializers.Constant(self.score_bias)
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.score = layers.Dense(1, bias_initializer=bias, kernel_initializer=small, dtype="float32", name="score")

    def _built_for(self, features):
        """Builds both for features of this shape."""
        spec = output_spec_built(self.unit, keras.KerasTensor(tuple(features), dtype=self.compute_dtype))
        if not self.last:
            self.score.build((None, spec.shape[-1]))

    def _run(self, features, left, training):
        """Returns what the unit gives for features, and the weight that it leaves of that which is left, [batch]."""
        found = self.unit(features, training=training)
        if self.last:
            return found, ops.zeros_like(left)
        rest = left - ops.sigmoid(self.score(pooled(found))[:, 0])
        return found, ops.where(rest <= self.epsilon, 0.0, rest)

    def _parts(self, features):
        """Returns the cost of both for features of this spec."""
        unit, channels = tree(self.unit, features), output_spec(self.unit, features).shape[-1]
        return (unit,) if self.last else (unit, Node(f"{self.name}/score", channels, self.score.count_params()))


def _weighted(weight, features):
    """Returns features times a weight, [batch]."""
    weight = ops.reshape(weight, (-1,) + (1,) * (len(features.shape) - 1))
    return ops.cast(weight, features.dtype) * features


@keras.saving.register_keras_serializable("keras_dynamic")
class FirstHalting(_Scored):
    """The first unit of a stage, which always runs and begins the weighted mean of what the stage gives.

    Takes features, or what the stage before gives, and returns {'features', 'mean': score x features, 'left': weight
    that is left for later units, float32 [batch]}. Its arguments are those of Halting.

    Source: Figurnov et al. 2017 (arXiv 1612.02297), section 3.1.
    """

    def build(self, x_shape):
        """Builds unit and score."""
        self._built_for(x_shape[MEAN] if isinstance(x_shape, dict) else x_shape)

    def call(self, x, training=None):
        """Returns the beginning of a stage."""
        given = x[MEAN] if isinstance(x, dict) else x
        features, left = self._run(given, ops.ones((ops.shape(given)[0],), "float32"), training)
        return {FEATURES: features, MEAN: _weighted(1.0 - left, features), LEFT: left}

    def compute_output_spec(self, x, training=None):
        """Returns the specs of the output."""
        features = output_spec(self.unit, x[MEAN] if isinstance(x, dict) else x)
        features = keras.KerasTensor(features.shape, dtype=self.compute_dtype)
        return {FEATURES: features, MEAN: features, LEFT: keras.KerasTensor((features.shape[0],), dtype="float32")}


@register(FirstHalting)
def _first_cost(layer, inputs):
    return Node(layer.name, children=layer._parts(inputs[MEAN] if isinstance(inputs, dict) else inputs))


@keras.saving.register_keras_serializable("keras_dynamic")
class Halting(_Scored, Unit):
    """A later unit of a stage: it adds what it gives, times its score, to the mean, while there is weight left.

    A score of as much as is left, but for epsilon, gets all of it, and so does the last unit of a stage; no unit after
    it runs.

    Source: Figurnov et al. 2017 (arXiv 1612.02297), section 3.1, equations 4 to 8.
    """

    def build(self, x_shape):
        """Builds unit and score."""
        self._built_for(x_shape[FEATURES])

    def branch(self, x, training=None):
        """Returns x after the unit."""
        features, rest = self._run(x[FEATURES], x[LEFT], training)
        return {FEATURES: features, MEAN: x[MEAN] + _weighted(x[LEFT] - rest, features), LEFT: rest}

    def otherwise(self, x, training=None):
        """Returns x."""
        return x

    def compute_output_spec(self, x, decision=None, training=None, groups=None):
        """Returns the specs of x."""
        return keras.tree.map_structure(lambda spec: keras.KerasTensor(spec.shape, dtype=spec.dtype), x)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns unit and score under guard."""
        return Node(self.name, when=guard, children=self._parts(x[FEATURES]))


@register(Halting)
def _cost(layer, inputs):
    return layer.cost_node(inputs, None)
