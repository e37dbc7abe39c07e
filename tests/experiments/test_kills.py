"""Runs that are killed at any moment end with the weights and figures of one that was not.

As a program: test_kills.py METHOD WORKDIR DATA_DIR TORN runs the tiny training of METHOD; with TORN > 0 it kills itself
half-way through that checkpoint that it writes.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from configs import blockdrop
from keras_dynamic.experiments import jobs
from tests.experiments.conftest import of_tiny, tiny_config
from tests.experiments.recipes import test_ddi, test_imta, test_sgad

KILLS, TORN = 20, 6


def _blockdrop():
    made = of_tiny(blockdrop.defaults())
    made.optimizer.learning_rate = 0.001
    return made


METHODS = {
    "gating": tiny_config,
    "blockdrop": _blockdrop,
    "sgad": test_sgad.small,
    "imta": test_imta.small,
    "ddi": test_ddi.small,
}


def config_of(method):
    """Returns the config of six epochs of a tiny network."""
    made = METHODS[method]()
    made.epochs = 6
    made.evaluation.static, made.evaluation.twin_images = (), 16
    return made


def run(method, workdir, data_dir, torn=0, **options):
    """Starts a run in a process of its own; options are those of subprocess.Popen."""
    command = [sys.executable, "-m", "tests.experiments.test_kills", method, str(workdir), str(data_dir), str(torn)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )


def results(workdir):
    """Returns the weights of a finished run, and its figures without those of time."""
    weights = keras.models.load_model(workdir / "model.keras", compile=False).get_weights()
    figures = json.loads((workdir / "figures.json").read_text())
    return weights, {name: value for name, value in figures.items() if "seconds" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_runs_end_like_whole_ones(method, data_dir, tmp_path):
    begin = time.monotonic()
    assert run(method, tmp_path / "whole", data_dir).wait() == 0
    lasting, moments = time.monotonic() - begin, random.Random(method)
    kills = torn = attempt = 0
    while kills < KILLS:
        workdir = tmp_path / f"killed{attempt}"
        while not (workdir / "figures.json").exists():
            tear = torn < TORN and not (kills % 3)
            child = run(method, workdir, data_dir, torn=moments.randint(1, 2) if tear else 0)
            try:
                error = child.communicate(timeout=None if tear else moments.uniform(0.2, 1) * lasting)[1]
                assert child.returncode in (0, -signal.SIGKILL), error
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
            kills, torn = kills + (child.returncode != 0), torn + (tear and child.returncode != 0)
        attempt += 1
        found, wanted = results(workdir), results(tmp_path / "whole")
        for one, other in zip(found[0], wanted[0], strict=True):
            np.testing.assert_array_equal(one, other)
        assert found[1] == wanted[1]
    assert torn >= TORN - 1


@pytest.mark.slow
def test_a_disk_that_fills_up_loses_nothing(data_dir, tmp_path):
    """The file system refuses larger files than a record's from the second epoch on."""
    assert run("gating", tmp_path / "whole", data_dir).wait() == 0
    workdir = tmp_path / "full"
    torn = run("gating", workdir, data_dir, torn=2)
    assert torn.wait() == -signal.SIGKILL
    kept = (workdir / "checkpoint" / "latest.npz").read_bytes()
    full = run("gating", workdir, data_dir, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16,) * 2))
    assert "there is no room for" in full.communicate()[1]
    assert full.returncode != 0
    assert (workdir / "checkpoint" / "latest.npz").read_bytes() == kept
    assert not list(workdir.rglob(".partial_*"))
    assert run("gating", workdir, data_dir).wait() == 0
    for one, other in zip(results(workdir)[0], results(tmp_path / "whole")[0], strict=True):
        np.testing.assert_array_equal(one, other)


def _main(method, workdir, data_dir, torn):
    whole, left = np.savez, int(torn)

    def tear(path, **arrays):
        nonlocal left
        left -= 1
        whole(path, **arrays)
        if not left:
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = tear
    jobs.run(config_of(method), workdir, data_dir)


if __name__ == "__main__":
    _main(*sys.argv[1:])
