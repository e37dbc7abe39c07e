"""Connections as smaller convolutions: some give what masks give, single ones add up, none computes another's work."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.layers import ConnectionGroups
from keras_dynamic.layers.connection_groups import connected
from tests.layers.grouped import conv, enliven

X = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype(np.float32)
SPEC = keras.KerasTensor((None, 6, 6, 4))
BLOCK = 9 * 9 * 2 * 2  # MACs of one connection: 3x3 pixels, 3x3 taps, 2 channels to 2


@pytest.fixture
def body():
    made = ConnectionGroups(conv(6, 3, strides=2, use_bias=True), 2, 2, forced=1)
    made.build(SPEC.shape)
    return enliven(made)


@pytest.mark.parametrize("off", [[], [(1, 0)], [(1, 1)], [(1, 0), (1, 2)], [(1, 0), (1, 1), (1, 2)]])
def test_some_connections_are_as_under_masks(body, off):
    pairs = [(i, j) for i in range(2) for j in range(3) if (i, j) not in off]
    left = connected(body, SPEC, pairs)
    masks = [float(pair not in off) for pair in body.pairs]
    np.testing.assert_allclose(left(X), body(X, decisions=masks), atol=1e-5)
    assert cost.tree(left).total_macs == len(pairs) * BLOCK
    assert left.count_params() == len(pairs) * 9 * 2 * 2 + 6


def test_single_connections_add_up(body):
    paths = body.paths(SPEC)
    np.testing.assert_allclose(sum(np.asarray(path(X)) for path in paths), body(X), atol=1e-5)
    assert [cost.tree(path).total_macs // BLOCK for path in paths] == [3, 1, 1, 1]
    assert not np.asarray(paths[2](X))[..., [0, 1, 4, 5]].any()
