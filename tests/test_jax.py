"""The core on JAX, in a process of its own, as a process has one Keras backend and TensorFlow is loaded in this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.layers.grouped import outcome_by_numbers

CHILD = Path(__file__).with_name("jax_child.py")


def run_child(part: str) -> dict[str, str]:
    """What the child process printed: 'name: result' lines."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(CHILD.parent.parent)}
    done = subprocess.run([sys.executable, CHILD, part], env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


@pytest.fixture(scope="module")
def said():
    return run_child("core")


@pytest.fixture(scope="module")
def said_of_methods():
    return run_child("methods")


@pytest.mark.parametrize("part", ["said", pytest.param("said_of_methods", marks=pytest.mark.ci)])
def test_core_imports_without_tensorflow(part, request):
    said = request.getfixturevalue(part)
    assert said["backend"] == "jax"
    assert said["imported"] == "core"
    assert said["loaded"] == "[]"


@pytest.mark.ci
def test_a_gated_network_trains(said_of_methods):
    first, last = map(float, said_of_methods["losses"].split())
    assert last < first


@pytest.mark.ci
@pytest.mark.parametrize("network", ["policy_32", "policy_224", "policy_recurrent", "imagenet", "densenet", "msdnet"])
def test_policies_and_networks_train(said_of_methods, network):
    first, last = map(float, said_of_methods[network].split())
    assert last < first


@pytest.mark.ci
def test_sgad_trains(said_of_methods):
    first, last = map(float, said_of_methods["guided"].split())
    assert last < first


@pytest.mark.ci
def test_a_step_of_sgad_is_as_by_hand(said_of_methods):
    loss, by_hand = map(float, said_of_methods["guided_step"].split())
    assert loss == pytest.approx(by_hand, rel=1e-4)
    least, most = map(float, said_of_methods["guided_moved"].split())
    assert 0 < least <= most


@pytest.mark.ci
def test_channel_groups_train(said_of_methods):
    first, last = map(float, said_of_methods["channels"].split())
    assert last < first


def test_channel_groups_are_as_on_tensorflow(said):
    """Logits, cost and decisions of a gated network with the same weights."""
    found, expected = [float(number) for number in said["channel_groups"].split()], outcome_by_numbers()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    decisions = expected[12 * 4 :]
    assert sum(decisions) == len(decisions) / 2 == 36
