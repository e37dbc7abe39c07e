"""Initial probabilities of gates from how much the network's logits depend on the parts that they switch."""

import keras
import numpy as np

from keras_dynamic.data import batches_of
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import Gate, StaticGate
from keras_dynamic.layers.forward import MaskedExecutor
from keras_dynamic.layers.gates import pooled
from keras_dynamic.messages import check_number
from keras_dynamic.ops import check_images, class_numbers
from keras_dynamic.transform.prune import check_nothing_nested


def decision_importance(model, batches) -> dict:
    """Returns the importance of each decision: its first-order effect on the logits per MAC.

    That is the mean over images of |d margin / d decision| with everything on, where the margin is the logit of the
    correct class minus the mean of all. The gradient of the cross entropy itself vanishes where a network is confident
    on its training images.

    Args:
        model: built DynamicModel without networks inside units.
        batches: iterable of (inputs [batch, ...], class numbers [batch] or one-hot labels), or such a data set.

    Returns:
        {decision name: float}, relative to the largest.

    Raises:
        ValueError: if Keras does not run on TensorFlow, nothing is decided, the network has networks inside its units,
            or there are no batches, or they are no images with labels.

    Source: Molchanov et al. 2017 (arXiv 1611.06440), whose criterion is the same product for the cross entropy.
    """
    moved, _ = _watch(model, batches)
    return _per_mac(model, moved)


def init_gates_by_importance(model, batches, lowest=0.55, highest=0.95, spread=1.0) -> dict:
    """Sets the probabilities of untrained gates by the rank of their decisions' importance.

    Gates that all start equal close all at once, or by chance; gates set by rank close in the order of importance as a
    target falls. Data-dependent gates also depend on the image from the start, so that they do not open and close for
    all images at once: their two layers are a regression on the importance for each image, as far as their hidden layer
    has room for the decisions, with logits scaled to the given spread.

    Args:
        model: built DynamicModel with PerUnitGates or ChannelGates, without memory.
        batches: as for decision_importance.
        lowest: probability of running of the least important, in (0, 1), of an image with the mean logit.
        highest: of the most important, from `lowest` to 1, exclusive.
        spread: standard deviation over images of the logits of data-dependent gates, positive.

    Returns:
        decision_importance of the model.

    Raises:
        ValueError: if the decider has no such gates, a number is out of range, Keras does not run on TensorFlow, the
            network has networks inside its units, or batches as for decision_importance.
    """
    gates = getattr(model, "decider", model)
    if not isinstance(gates, PerUnitGates):
        raise ValueError(
            f"init_gates_by_importance sets PerUnitGates and ChannelGates, got decider {gates.name!r} of "
            f"type {type(gates).__name__}."
        )
    if getattr(gates, "memory", None) is not None:
        raise ValueError(
            f"init_gates_by_importance sets gates without memory, got {gates.name!r} with memory={gates.memory}."
        )
    if gates.frozen:
        raise ValueError(
            f"init_gates_by_importance sets untrained gates, got {gates.name!r} with {len(gates.frozen)} "
            f"that are frozen."
        )
    if not 0 < check_number("lowest", lowest) <= check_number("highest", highest) < 1:
        raise ValueError(
            f"lowest and highest must be probabilities between 0 and 1, exclusive, in this order, got {lowest!r} and "
            f"{highest!r}."
        )
    check_number("spread", spread, positive=True)
    moved, means = _watch(model, batches)
    importance = _per_mac(model, moved)
    chances = np.empty(len(importance))
    chances[np.argsort(list(importance.values()), kind="stable")] = np.linspace(lowest, highest, len(importance))
    odds = dict(zip(importance, np.log(chances / (1 - chances)), strict=True))
    column = {name: index for index, name in enumerate(importance)}
    names_left = iter(gates.names)  # in the order of gates
    for unit, gate in gates.gates.items():
        names = [next(names_left) for _ in range(gate.groups or 1)]
        own = np.array([odds[name] for name in names])
        if isinstance(gate, StaticGate):
            gate.logits.assign(np.concatenate([-own / 2, own / 2]))
        else:
            _regress(gate, means[unit], moved[:, [column[name] for name in names]], own, spread)
    return importance


class _AllOn(MaskedExecutor):
    """Runs everything under given decisions that are all 1, and keeps the pooled inputs of the gates."""

    def __init__(self, chain, decisions):
        self.chain, self.decisions, self.pooled = chain, decisions, {}

    def decide(self, decider, k, x, carry, training=None):
        """Returns the decisions of unit k, as MaskedExecutor.decide."""
        unit = self.chain.units[k]
        gate = getattr(decider, "gates", {}).get(unit.name)
        if isinstance(gate, Gate):
            self.pooled[unit.name] = pooled(x)
        own = {name: self.decisions[name] for name in decider.decisions_of(unit) if name in self.decisions}
        return own, own, carry

    def decide_exit(self, decider, name, logits, x, carry, training=None):
        """Returns the decision at an exit, as MaskedExecutor.decide_exit."""
        own = {name: self.decisions[name]} if name in self.decisions else {}
        return own, own, carry


def _watch(model, batches):
    """Returns |d margin / d decision|, [n, decisions], and {unit: pooled input of its gate, [n, channels]}."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "the importance of decisions needs TensorFlow's gradients, but Keras runs on "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow."
        )
    check_nothing_nested(model, "rank")
    names = model.decision_names
    batches = _pairs(batches, model.classes)
    if not names or not batches:
        raise ValueError(
            f"importance is that of one decision or more on one batch or more of images and labels, got {len(names)} "
            f"decisions and {len(batches)} batches."
        )
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def watched(images, labels):
        decisions = {name: tf.ones(tf.shape(images)[:1]) for name in names}
        with tf.GradientTape() as tape:
            tape.watch(decisions)
            executor = _AllOn(model.chain, decisions)
            logits = model.outcome(images, training=False, executor=executor).logits
            margin = tf.gather(logits, labels, batch_dims=1) - tf.reduce_mean(logits, axis=-1)
            total = tf.reduce_sum(margin)
        slopes = tape.gradient(total, decisions, unconnected_gradients="zero")
        return tf.stack([tf.abs(slopes[name]) for name in names], axis=1), executor.pooled

    found = [watched(tf.convert_to_tensor(images), tf.convert_to_tensor(labels)) for images, labels in batches]
    moved = np.concatenate([moved.numpy().astype(float) for moved, _ in found])
    return moved, {unit: np.concatenate([each[unit].numpy() for _, each in found]) for unit in found[0][1]}


def _pairs(batches, classes):
    """Returns the batches as a list of (images, int labels [batch]), or raises a ValueError if they are none."""
    found = []
    for number, batch in enumerate(batches_of(batches)):
        pair = isinstance(batch, (list, tuple)) and len(batch) == 2
        if not pair:
            raise ValueError(
                "batches must be pairs of images [batch, height, width, channels] and as many labels [batch], got "
                f"{type(batch).__name__} as batch {number}; e.g. [(x[:64], y[:64])]."
            )
        check_images(batch[0])
        found.append((batch[0], class_numbers(batch[1], classes, len(batch[0])).astype("int32")))
    return found


def _per_mac(model, moved):
    """Returns {decision: its mean effect over the MACs that it guards}, relative to the largest."""
    macs = dict.fromkeys(model.decision_names, 0)
    _add_guarded(model.cost_tree, macs)
    each = {name: value / max(macs[name], 1) for name, value in zip(macs, moved.mean(axis=0), strict=True)}
    largest = max(each.values()) or 1.0  # where nothing matters all are 0
    return {name: value / largest for name, value in each.items()}


def _regress(gate, means, moved, odds, spread):
    """Sets a Gate's weights to a regression of log importance, [n, decisions], on its input, [n, channels]."""
    target = np.log(moved + 0.01 * moved.mean(axis=0) + 1e-12)
    deviation = means.std(axis=0) + 1e-6
    directions = _ridge((means - means.mean(axis=0)) / deviation, target) / deviation[:, None]
    kernel = keras.ops.convert_to_numpy(gate.project.kernel)
    both = np.concatenate([directions, -directions], axis=1)[:, : gate.hidden]  # ReLU cuts one side off
    kernel[:, : both.shape[1]] = both / (np.linalg.norm(both, axis=0) + 1e-12)
    gate.project.kernel.assign(kernel)
    hidden = means @ kernel
    gate.norm.moving_mean.assign(hidden.mean(axis=0))
    gate.norm.moving_variance.assign(hidden.var(axis=0))
    features = np.maximum(keras.ops.convert_to_numpy(gate.norm(hidden, training=False)), 0.0)
    weights = _ridge(features - features.mean(axis=0), target)
    weights *= spread / ((features @ weights).std(axis=0) + 1e-12)
    bias = odds - features.mean(axis=0) @ weights
    gate.kernel.assign(np.concatenate([-weights / 2, weights / 2], axis=1))
    gate.bias.assign(np.concatenate([-bias / 2, bias / 2]))


def _ridge(x, y):
    """Returns the weights that predict y - mean(y), [n, m], from centred x, [n, k], with a little shrinkage: [k, m]."""
    return np.linalg.solve(x.T @ x + 0.01 * len(x) * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))


def _add_guarded(node, macs):
    if node.when is not None and node.when.decision in macs:
        macs[node.when.decision] += node.total_macs
    for child in node.children:
        _add_guarded(child, macs)
