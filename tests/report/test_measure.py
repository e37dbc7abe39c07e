"""What the jobs compute of their own."""

import numpy as np

from keras_dynamic.report.measure import decisions_changed


def test_decisions_changed_is_the_share_over_images_and_decisions():
    taken = {"a": np.array([1, 0, 1, 1]), "b": np.array([0, 0, 0, 0])}
    reference = {"a": np.array([1.0, 1.0, 1.0, 1.0]), "b": np.array([0.0, 0.0, 1.0, 1.0]), "c": np.ones(4)}
    assert decisions_changed(taken, reference) == (1 / 4 + 2 / 4) / 2
