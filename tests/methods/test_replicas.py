"""Replicas of tf.distribute: they draw different numbers, and losses on exits count as on one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import BinaryMaskNetwork, PerUnitGates, Policy, Stochastic
from keras_dynamic.ops import SeedGenerator

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def found():
    script = Path(__file__).with_name("replicas.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parents[2]), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_replicas_draw_different_numbers(found):
    ours, kerass = np.array(found["draws"])
    assert len(np.unique(ours)) == 2 * 2 * 3  # steps, replicas, numbers
    np.testing.assert_array_equal(ours[:, 0], kerass[:, 0])  # the first replica draws as one device does
    assert len(np.unique(kerass)) < 2 * 2 * 3  # else this class can go


@pytest.mark.parametrize("task", ["soft", "summed"])
def test_exits_learn_as_on_one_device(task, found):
    alone, together = found["losses"][task]
    assert found["differences"][task] < 1e-5
    if task == "soft":  # Keras shows the mean of the replicas' sums
        assert together == pytest.approx(alone, rel=1e-5)


def test_on_one_device_it_is_keras_own():
    one, other = SeedGenerator(3), keras.random.SeedGenerator(3)
    for _ in range(2):
        np.testing.assert_array_equal(keras.random.uniform((4,), seed=one), keras.random.uniform((4,), seed=other))


def test_every_decider_that_samples_has_it():
    gates = PerUnitGates()
    for decider in (gates, Stochastic(gates), BinaryMaskNetwork(), Policy(keras.layers.Dense(1))):
        assert isinstance(decider.seed_generator, SeedGenerator)
