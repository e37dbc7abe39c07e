"""The static network's decider."""

import numpy as np

from keras_dynamic.layers import Always, DynamicModel


def test_everything_runs_and_nothing_is_decided(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), Always())
    outcome = model.outcome(toy_images())
    assert model.decision_names == []
    assert outcome.decisions == outcome.probabilities == {}
    np.testing.assert_array_equal(outcome.cost, np.ones(6, np.float32))
    assert model.cost_tree.total_macs == 64 * 27 * 4 + 3 * 2 * 64 * 9 * 16 + 12
