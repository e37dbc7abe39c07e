"""Accuracy over MACs of all cascades of plain networks: the baseline that needs no training."""

import itertools

import keras
import numpy as np

from keras_dynamic import ops
from keras_dynamic.ops import class_numbers, fit_thresholds, stops

_BUDGETS = 12


class PlainNetwork:
    """A plain network's logits on held-out and test images.

    Args:
        name: of the network.
        macs: of one image.
        held_out: logits, [n, classes], on the images that thresholds are fitted on; None if it was trained on them.
        test: logits, [m, classes], on the images that cascades are evaluated on.
    """

    def __init__(self, name, macs, held_out, test):
        self.name, self.macs, self.held_out, self.test = name, int(macs), held_out, test


def cascade_frontier(networks, y_held_out, y_test, confidence="max_probability") -> list:
    """Returns the accuracy of every cascade of two or more of the networks, fitted to a range of budgets.

    Thresholds are fitted on the held-out images alone. The frontier is the upper hull of these points.

    Args:
        networks: list of PlainNetwork, cheapest first, with held-out answers.
        y_held_out: class numbers [n], or one-hot labels [n, classes].
        y_test: class numbers [m], or one-hot labels [m, classes].
        confidence: 'max_probability', 'entropy' or 'margin'.

    Returns:
        [[mean MACs on the test images, accuracy on the test images, label], ...] in rising order of MACs.
    """
    classes = networks[0].test.shape[-1]
    labels = class_numbers(y_held_out, classes), class_numbers(y_test, classes)
    points = []
    for count in range(2, len(networks) + 1):
        for chosen in itertools.combinations(networks, count):
            points += _points(chosen, *labels, confidence)
    return sorted(points)


def _points(chosen, y_held_out, y_test, confidence):
    costs = np.cumsum([network.macs for network in chosen])
    held_out, test = _stages([n.held_out for n in chosen], confidence), _stages([n.test for n in chosen], confidence)
    right = (held_out[0] == y_held_out[:, None], test[0] == y_test[:, None])
    label = ", ".join(network.name for network in chosen)
    found = {}
    for budget in np.linspace(costs[0], costs[-1], _BUDGETS + 2)[1:-1]:
        thresholds = fit_thresholds(held_out[1], right[0], costs, budget).thresholds
        at = stops(test[1], thresholds)
        found[tuple(thresholds)] = [float(costs[at].mean()), float(right[1][np.arange(len(at)), at].mean()), label]
    return list(found.values())


def _stages(logits, confidence):
    """Returns (class numbers [n, stages], confidences [n, stages]) of the sums of the logits up to each stage."""
    sums = np.cumsum(logits, axis=0)
    certain = [keras.ops.convert_to_numpy(ops.confidence(each, confidence)) for each in sums]
    return sums.argmax(-1).T, np.stack(certain, axis=1)
