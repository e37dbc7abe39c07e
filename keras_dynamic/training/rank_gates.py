"""Gates that look at nothing, set by how much the network's answers depend on what they switch."""

import keras
import numpy as np

from keras_dynamic.deciders import PerUnitGates


def decision_importance(model, batches) -> dict:
    """Returns how much each decision moves the answers, per MAC that it costs.

    That is the mean over images of |d margin / d decision| with everything on, where the margin is the right class's
    logit over the mean of all: a first-order guess of what an image loses if the part is closed. The cross entropy
    itself says nothing where a network is sure of its training images.

    Args:
        model: built DynamicModel without networks inside units.
        batches: list of (images [batch, height, width, channels], int labels [batch]).

    Returns:
        {decision name: float}, relative to the largest.

    Raises:
        ValueError: if Keras does not run on TensorFlow.

    Source: Molchanov et al. 2017 (arXiv 1611.06440), whose criterion is the same product for the cross entropy.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"decision_importance needs TensorFlow's gradients, but Keras runs on {keras.backend.backend()!r}; set "
            "KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    names = model.decision_names

    @tf.function(reduce_retracing=True)
    def moved(images, labels):
        decisions = {name: tf.ones(tf.shape(images)[:1]) for name in names}
        with tf.GradientTape() as tape:
            tape.watch(decisions)
            logits = model.outcome(images, decisions, training=False).logits
            margin = tf.gather(logits, labels, batch_dims=1) - tf.reduce_mean(logits, axis=-1)
            total = tf.reduce_sum(margin)
        slopes = tape.gradient(total, decisions, unconnected_gradients="zero")
        return [tf.reduce_sum(tf.abs(slopes[name])) for name in names]

    sums = np.zeros(len(names))
    for images, labels in batches:
        sums += np.array(moved(tf.convert_to_tensor(images), tf.reshape(tf.cast(labels, tf.int32), (-1,))))
    macs = dict.fromkeys(names, 0)
    _add_guarded(model.cost_tree, macs)
    each = {name: value / max(macs[name], 1) for name, value in zip(names, sums, strict=True)}
    largest = max(each.values())
    return {name: value / largest for name, value in each.items()}


def rank_gates(model, batches, lowest=0.55, highest=0.95) -> dict:
    """Sets the probabilities of gates that look at nothing by the rank of what they switch.

    Gates that all start alike close all at once, or by chance. Set like this, a falling target closes first what
    matters least.

    Args:
        model: built DynamicModel with PerUnitGates or ChannelGates, data_dependent=False.
        batches: as for decision_importance.
        lowest: probability of running of the least important, in (0, 1).
        highest: of the most important.

    Returns:
        decision_importance of the model.

    Raises:
        ValueError: if the gates look at their input.
    """
    gates = model.decider
    if not isinstance(gates, PerUnitGates) or gates.data_dependent:
        raise ValueError(
            f"rank_gates sets gates that look at nothing, got decider {gates.name!r}; give PerUnitGates or "
            "ChannelGates with data_dependent=False."
        )
    importance = decision_importance(model, batches)
    order = sorted(importance, key=importance.__getitem__)
    chances = dict(zip(order, np.linspace(lowest, highest, len(order)), strict=True))
    position = 0
    for gate in gates.gates.values():
        names = gates.names[position : position + (gate.groups or 1)]
        odds = np.array([np.log(chances[name] / (1 - chances[name])) for name in names])
        gate.logits.assign(np.concatenate([-odds / 2, odds / 2]))
        position += len(names)
    return importance


def _add_guarded(node, macs):
    if node.when is not None and node.when.decision in macs:
        macs[node.when.decision] += node.total_macs
    for child in node.children:
        _add_guarded(child, macs)
