"""What training steps are timed against."""

import numpy as np
import pytest

from configs import blockdrop
from keras_dynamic import models
from keras_dynamic.experiments.jobs.timing import plain_keras, step_time


def test_the_plain_network_is_the_same_network():
    plain, ours = plain_keras(8), models.resnet_cifar(8)
    ours.build((None, 32, 32, 3))
    assert plain.count_params() == ours.count_params()
    ours.chain.set_weights(plain.get_weights())
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(np.asarray(plain(x)), np.asarray(ours(x)), atol=1e-5)


@pytest.mark.ci
def test_a_curriculum_is_timed_beside_its_parts():
    config = blockdrop.defaults()
    with config.unlocked():
        config.steps = 3
    config.network.depth, config.network.weights, config.batch_size = 8, "", 4
    figures = step_time(config)
    assert figures.keys() == {"forward_ms", "policy_step_ms", "step_ms_curriculum", "step_ratio"}
    assert all(value > 0 for value in figures.values())
