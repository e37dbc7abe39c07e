"""The core on JAX, in a process of its own, as a process has one Keras backend and TensorFlow is loaded in this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.layers.grouped import outcome_by_numbers

CHILD = Path(__file__).with_name("jax_child.py")


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What the child process printed: 'name: result' lines."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(CHILD.parent.parent)}
    done = subprocess.run([sys.executable, CHILD], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


def test_core_imports_without_tensorflow(said):
    assert said["backend"] == "jax"
    assert said["imported"] == "core"
    assert said["loaded"] == "[]"


def test_a_gated_network_trains(said):
    first, last = map(float, said["losses"].split())
    assert last < first


@pytest.mark.parametrize("network", ["policy_32", "policy_224", "policy_recurrent", "imagenet", "densenet", "msdnet"])
def test_policies_and_networks_train(said, network):
    first, last = map(float, said[network].split())
    assert last < first


def test_sgad_trains(said):
    first, last = map(float, said["guided"].split())
    assert last < first


def test_a_step_of_sgad_is_as_by_hand(said):
    loss, by_hand = map(float, said["guided_step"].split())
    assert loss == pytest.approx(by_hand, rel=1e-4)
    least, most = map(float, said["guided_moved"].split())
    assert 0 < least <= most


def test_channel_groups_train(said):
    first, last = map(float, said["channels"].split())
    assert last < first


def test_channel_groups_are_as_on_tensorflow(said):
    """Logits, cost and decisions of a gated network with the same weights."""
    found, expected = [float(number) for number in said["channel_groups"].split()], outcome_by_numbers()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    decisions = expected[12 * 4 :]
    assert sum(decisions) == len(decisions) / 2 == 36
