"""Cascades of plain networks, from logits written by hand."""

import numpy as np

from keras_dynamic.evaluation.cascade_frontier import PlainNetwork, cascade_frontier


def logits(answers, certainty):
    """Two classes: the answered one gets the certainty as its logit."""
    result = np.zeros((len(answers), 2))
    result[np.arange(len(answers)), answers] = certainty
    return result


def test_the_sure_stop_and_the_unsure_go_on():
    y = np.array([0, 1, 0, 1])
    small = logits([0, 1, 1, 0], [5.0, 5.0, 0.1, 0.1])  # right and sure twice, wrong and unsure twice
    large = logits([0, 1, 0, 1], [3.0, 3.0, 3.0, 3.0])  # always right
    networks = [PlainNetwork("small", 10, small, small), PlainNetwork("large", 100, large, large)]
    points = cascade_frontier(networks, y, y)
    assert all(label == "small, large" for _, _, label in points)
    # Half of the images going on costs 10 + 100 / 2 and answers all rightly.
    assert [60.0, 1.0, "small, large"] in points
    assert points == sorted(points)
    assert max(macs for macs, _, _ in points) <= 60.0  # more would buy nothing


def test_every_two_or_more_networks_are_tried():
    y = np.arange(8) % 2
    rng = np.random.default_rng(0)
    networks = [
        PlainNetwork(name, macs, *(rng.normal(size=(2, 8, 2)))) for name, macs in (("a", 1), ("b", 2), ("c", 4))
    ]
    labels = {label for _, _, label in cascade_frontier(networks, y, y)}
    assert labels == {"a, b", "a, c", "b, c", "a, b, c"}
