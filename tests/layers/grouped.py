"""A toy network whose units have channel groups, with the same weights on any backend."""

import keras
import numpy as np
from keras import layers

from keras_dynamic.deciders import ChannelGates, CombinedDecider, PerUnitGates
from keras_dynamic.layers import Chain, ChannelGroups, DynamicModel, Residual

WIDTH, HIDDEN, GROUPS = 8, 16, 4
GROUP = 64 * 9 * 2 * WIDTH * HIDDEN // GROUPS  # MACs of one of a unit's groups: a quarter of both convolutions
GATE = WIDTH * 16 + 16 * (GROUPS - 1)
STEM, HEAD = 64 * 27 * WIDTH, 3 * WIDTH


@keras.saving.register_keras_serializable("tests")
class Halved(Residual):
    """A unit of another kind: half of what its body gives is added."""

    def joined(self, x, added, training=None):
        return super().joined(x, added / 2, training)


def conv(filters, size=3, **arguments):
    """A convolution that keeps the size and has no bias, unless told otherwise."""
    return layers.Conv2D(filters, size, **{"padding": "same", "use_bias": False, **arguments})


def norm():
    """Batch norm whose statistics come soon."""
    return layers.BatchNormalization(momentum=0.8)


def body(granularity=HIDDEN // GROUPS, forced=1, size=3, hidden=HIDDEN, **arguments):
    """Two convolutions, 3x3, with HIDDEN channels between them, or as many as told."""
    expand, contract = [conv(hidden, size), norm(), layers.ReLU()], [conv(WIDTH, size), norm()]
    return ChannelGroups(expand, contract, granularity=granularity, forced=forced, **arguments)


def chain(units=2, size=3, granularity=HIDDEN // GROUPS, hidden=HIDDEN, exits=()):
    """A network for images [8, 8, 3] in three classes; MACs: STEM + units * 4 GROUP + HEAD."""
    stem = [layers.Rescaling(1 / 127.5, -1), conv(WIDTH), norm(), layers.ReLU()]
    bodies = [body(granularity, size=size, hidden=hidden) for _ in range(units)]
    chained = [Residual(made, None, "relu", name=f"unit{k + 1}") for k, made in enumerate(bodies)]
    return Chain(stem, chained, [layers.GlobalAveragePooling2D(), layers.Dense(3)], exits)


def enliven(layer, seed=0):
    """Gives a built layer weights from NumPy's generator, those of batch norm not those of a new one; returns it."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        shape = tuple(variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.6, 1.4, shape))
        elif len(shape) < 2:
            variable.assign(rng.uniform(-0.3, 0.3, shape))
        else:
            variable.assign(rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
    return layer


def spread(model, images, seed=0):
    """Sets gates so that each group runs for half of these images, by what they see in them; returns the model."""
    rng = np.random.default_rng(seed)
    for number, (name, gate) in enumerate(model.decider.gates.items()):
        enliven(gate, seed + number)
        kernel, bias = (gate.kernel, gate.bias) if gate.memory is None else (gate.last_kernel, gate.last_bias)
        kernel.assign(rng.normal(0, 1, kernel.shape))
        bias.assign(np.zeros(bias.shape))
        chances = model.outcome(images, training=False).probabilities
        prefix = model.decider.decision_of(f"{name}[")
        own = [chances[group] for group in model.decider.names if group == name or group.startswith(prefix)]
        odds = np.array([keras.ops.convert_to_numpy(chance) for chance in own], np.float64)
        medians = np.median(np.log(odds / (1 - odds)), axis=1)
        bias.assign(np.concatenate([np.zeros_like(medians), -medians]))
    return model


def draw_gates(units, groups):
    """Gives built RecurrentGates and ChannelCNNGates weights at random under which decisions vary."""
    rng = np.random.default_rng(1)
    for layer in (*units.projections.values(), units.look, units.remember, units.score):
        for weight in layer.trainable_variables:
            weight.assign(rng.normal(0, 0.7, weight.shape))
    for gate in groups.gates.values():
        gate.score.kernel.assign(rng.normal(0, 2.0, gate.score.kernel.shape))
        gate.score.bias.assign(rng.normal(0, 0.3, gate.score.bias.shape))


def as_numpy(values):
    """Returns {name: array} of {name: tensor}."""
    return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}


def outcome_by_numbers():
    """What a gated network gives for some images, the same on any backend: logits, cost and decisions in one list."""
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype("uint8")
    model = DynamicModel(chain(), ChannelGates(hidden=4))
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    outcome = spread(model, images).outcome(images, training=False)
    parts = as_numpy({"logits": outcome.logits, "cost": outcome.cost, **outcome.decisions})
    return [float(number) for part in parts.values() for number in np.ravel(part)]


def guarded(images, units=2, exits=(), further=(), **channel_gates):
    """A network with a gate for each unit and gates for its groups, each of which runs for half of these images.

    further: deciders of the exits.
    """
    wholes, groups = PerUnitGates(hidden=4), ChannelGates(hidden=4, **channel_gates)
    model = DynamicModel(chain(units, exits=exits), CombinedDecider([groups, wholes, *further]), name="guarded")
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    for number, gates in enumerate((groups, wholes), 40):  # seeds under which each decision varies
        spread(DynamicModel(model.chain, gates), images, number)
    return model
