"""tflite/benchmark.py, run as a user runs it."""

import pytest

from keras_dynamic import zoo

SCRIPT = "benchmark.py"


@pytest.mark.ci
@pytest.mark.parametrize(("flag", "name"), [("--json=bench.json", "json"), ("--record=bench", "record")])
def test_without_a_model_there_is_nothing_to_write(run, flag, name):
    done = run(SCRIPT, flag)
    assert done.returncode == 1
    assert done.stderr.strip() == f"benchmark: --{name} is for one model, got none; name it with --model."


@pytest.mark.slow
def test_without_a_model_the_zoo_is_measured(run):
    done = run(SCRIPT, "--precisions=int8")
    assert done.returncode == 0, done.stderr
    for name in zoo.names():
        dynamic = zoo.describe(name)["file"].endswith(".keras")
        assert (f"zoo:{name} against " in done.stdout) == dynamic
    assert "deciders alone (ms)" in done.stdout
