"""Two replicas, as devices or as processes, follow one device; what cannot be distributed is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.experiments.strategy import Devices, devices
from keras_dynamic.experiments.workers import start_workers

ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(__file__).with_name("replicated.py"))
METHODS = ("gating", "blockdrop", "sgad", "imta", "ddi")
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


def run(name, backend):
    environment = {**os.environ, **ENVIRONMENT, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, SCRIPT, name, *METHODS], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    """What one device gives, {backend: its line}."""
    return {backend: run("", backend) for backend in ("tensorflow", "jax")}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two replicas give, {their kind: the line}; of two workers, that of each."""
    folder = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "KERAS_BACKEND": "tensorflow"}.items():
            patch.setenv(name, value)
        start_workers([sys.executable, SCRIPT, "workers", *METHODS], 2, folder, 600)
    logs = [(folder / f"worker_{k}.log").read_text().splitlines()[-1] for k in range(2)]
    return {
        "tensorflow": run("mirrored", "tensorflow"),
        "jax": run("mirrored", "jax"),
        "chief": json.loads(logs[0]),
        "worker": json.loads(logs[1]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["tensorflow", "jax", "chief", "worker"])
def test_two_replicas_follow_one(kind, method, alone, together):
    one, two = alone["jax" if kind == "jax" else "tensorflow"], together[kind]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert two[method].keys() == one[method].keys() > {"loss", "accuracy", "val_loss", "activation_rate"}
    for name, values in one[method].items():
        np.testing.assert_allclose(two[method][name], values, atol=1e-4, err_msg=name)
    assert one[method]["loss"][-1] < one[method]["loss"][0] - 1e-3  # it has learned


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("parameter_server", "distribute cannot be 'parameter_server': Keras' fit has no asynchronous training; use"),
        ("mirror", r"distribute must be one of .* got 'mirror'"),
    ],
)
def test_what_cannot_be(name, message):
    with pytest.raises(ValueError, match=message):
        devices(name)


def test_one_device():
    one = devices("")
    assert (one.replicas, one.chief) == (1, True)
    one.check_batches(7, 30)
    assert one.together(lambda: 3) == 3


class _Two:
    num_replicas_in_sync = 2


def test_batches_are_split_equally():
    two = Devices(_Two())
    two.check_batches(16, 48)
    two.check_batches(16, 50)
    with pytest.raises(ValueError, match="split equally among 2 replicas, but batch_size is 15"):
        two.check_batches(15, 45)
    with pytest.raises(ValueError, match="but the last batch of 49 images is 1; choose a batch_size"):
        two.check_batches(16, 49)
