"""tflite/serve.py: what it refuses, and a whole life of it, from the command to a signal."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import keras_dynamic as kd
from tests.tflite.conftest import ROOT, plain_model

SCRIPT = "serve.py"


@contextlib.contextmanager
def serving(*flags):
    """Yields (process, lines that it said, address); ends it if the test has not."""
    command = [sys.executable, str(ROOT / "tflite" / SCRIPT), "--port=0", *map(str, flags)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        said = []
        while not said or not said[-1].startswith("serving on "):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            said.append(line.rstrip("\n"))
        yield process, said, said[-1].removeprefix("serving on http://")
    finally:
        process.kill()
        process.communicate()


def predict(address, body):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/predict", body)
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.ci
def test_from_the_command_to_a_signal(saved, model, images):
    with serving(f"--model={saved}", "--largest_batch=8", "--input_mean=1", "--input_std=2") as (
        process,
        said,
        address,
    ):
        assert said[0] == model.name
        status, content = predict(address, npy(images[:8]))
        assert status == 200
        found = kd.serving.answers(model)(images[:8])
        assert [each["class"] for each in content["predictions"]] == found["logits"].argmax(-1).tolist()
        assert [each["macs"] for each in content["predictions"]] == found["macs"].tolist()
        status, content = predict(address, npy(images[:9]))
        assert (status, content["error"]) == (400, "expected 1 to 8 images at a time, got 9; give them so.")
        file = io.BytesIO()
        Image.fromarray(images[0]).save(file, "PNG")
        found = kd.serving.answers(model)((images[:1] - np.float32(1)) / 2)  # as the flags say of files
        assert predict(address, file.getvalue())[1]["predictions"][0]["macs"] == found["macs"][0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.communicate() == ("", "")


@pytest.mark.ci
def test_a_signal_under_load(saved, images):
    """Whatever is answered is answered whole; connections end, and so does the process."""
    with serving(f"--model={saved}") as (process, _, address), ThreadPoolExecutor() as pool:
        begun, body = threading.Semaphore(0), npy(images[:1])

        def client():
            connection, statuses = http.client.HTTPConnection(address, timeout=60), []
            with contextlib.suppress(ConnectionError):
                while len(statuses) < 100_000:
                    connection.request("POST", "/predict", body)
                    response = connection.getresponse()
                    predictions = json.loads(response.read()).get("predictions")
                    assert (response.status, predictions is None) in ((200, False), (503, True))
                    statuses.append(response.status)
                    begun.release()
            return statuses

        clients = [pool.submit(client) for _ in range(4)]
        for _ in range(40):
            assert begun.acquire(timeout=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert sum(len(each.result(timeout=60)) for each in clients) >= 40
        assert process.communicate() == ("", "")


@pytest.mark.ci
def test_a_cascade_under_a_budget_and_its_last_network_alone(images, tmp_path):
    for width in (4, 8):
        plain_model(width).save(tmp_path / f"plain{width}.keras")
    np.savez(tmp_path / "held_out.npz", x=images, y=np.arange(len(images)) % 4)
    networks = f"--model={tmp_path}/plain4.keras,{tmp_path}/plain8.keras"
    full = kd.cost.tree(kd.models.cascade([plain_model(4), plain_model(8)])).total_macs
    macs = kd.cost.tree(plain_model(4)).total_macs
    with serving(networks, f"--calibration={tmp_path}/held_out.npz", f"--macs={(macs + full) / 2}") as (
        _,
        said,
        address,
    ):
        assert said[0] == "cascade"
        assert said[1].startswith("thresholds ")
        _, content = predict(address, npy(images))
        spent = [each["macs"] for each in content["predictions"]]
        assert np.mean(spent) <= (macs + full) / 2
        assert all(each in (macs, full) for each in spent)
    with serving(networks, "--static") as (_, said, address):
        assert said[0] == "plain8, with everything on"
        _, content = predict(address, npy(images[:2]))
        assert [each["macs"] for each in content["predictions"]] == [kd.cost.tree(plain_model(8)).total_macs] * 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=none.keras"], "got 'none.keras', which is no file"),
        (["--model=plain.keras"], "--model must be a cascade or a network that decides something, got 'plain4'"),
        (["--model=plain.keras,wide.keras"], "a budget needs images like those that plain.keras was trained on"),
        (["--model=gated.keras", "--macs=1e6"], "a budget needs images like those that gated.keras was trained on"),
        (["--model=gated.keras", "--queue=10"], "queue must be a whole number of at least 64, got 10"),
        (["--model=gated.keras", "--input_std=0"], "--input_std must be over 0, got 0"),
    ],
)
def test_bad_flags_are_one_sentence(run, saved, tmp_path, flags, words):
    (tmp_path / "gated.keras").write_bytes(saved.read_bytes())
    plain_model(4).save(tmp_path / "plain.keras")
    plain_model(8).save(tmp_path / "wide.keras")
    done = run(SCRIPT, *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("serve: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.ci
def test_exits_without_a_decider_get_one(stopping, images, tmp_path):
    trained = kd.layers.DynamicModel(stopping.chain, name="exits")
    trained.build((None, *images.shape[1:]))
    trained.save(tmp_path / "exits.keras")
    np.save(tmp_path / "held_out.npy", images)
    with serving(f"--model={tmp_path}/exits.keras", f"--calibration={tmp_path}/held_out.npy", "--macs=4e5") as found:
        _, content = predict(found[2], npy(images))
        assert [list(each["decisions"]) for each in content["predictions"]] == [["early"]] * len(images)
