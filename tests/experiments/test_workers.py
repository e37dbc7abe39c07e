"""Workers: what TF_CONFIG may say, how they meet, and how one that fails or is silent ends a trial."""

import socket
import sys
import threading

import ml_collections
import pytest

from keras_dynamic.experiments.workers import Cluster, meet, read_cluster, start_workers, tf_config

TWO = ("host0:2222", "host1:2222")
CONFIG = ml_collections.ConfigDict({"epochs": 1, "method": {"name": "imta"}})


def test_tf_config_is_read(monkeypatch):
    assert read_cluster(tf_config(TWO, 1)) == Cluster(TWO, 1)
    monkeypatch.setenv("TF_CONFIG", tf_config(TWO, 0))
    assert read_cluster() == Cluster(TWO, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"needs TF_CONFIG in each worker's environment; .* --workers=2"),
        ("{cluster", "TF_CONFIG must be JSON such as .* got '{cluster'"),
        ("[]", "TF_CONFIG must have 'cluster' and 'task', .* without 'cluster'"),
        ('{"cluster": {"worker": ["a:1"]}}', "without 'task'"),
        ('{"task": {"type": "worker", "index": 0}}', "without 'cluster'"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {}}', r"cluster of TF_CONFIG must be .* alone, got \{'ps': \['a:1'\]\}"),
        ('{"cluster": {"worker": ["a"]}, "task": {}}', "cluster of TF_CONFIG must be"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "task of TF_CONFIG must be"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "'index': 0 to 0}, got"),
    ],
)
def test_wrong_tf_config(text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_cluster(text)
    assert "\n" not in str(raised.value)


@pytest.fixture
def addresses():
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return tuple(f"127.0.0.1:{port}" for port in ports)


def meet_all(addresses, configs, seconds=30.0):
    """Returns what each worker that has a config says as they meet, None for those that go on."""
    said = {}

    def worker(index, config):
        try:
            said[index] = meet(Cluster(addresses, index), config, seconds)
        except (ValueError, OSError) as error:
            said[index] = error

    threads = [threading.Thread(target=worker, args=each) for each in configs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_workers_meet(addresses):
    assert meet_all(addresses, dict.fromkeys(range(3), CONFIG)) == {0: None, 1: None, 2: None}


def test_another_config(addresses):
    other = CONFIG.copy_and_resolve_references()
    other.method.name = "ddi"
    said = meet_all(addresses, {0: CONFIG, 1: CONFIG, 2: other})
    assert str(said[0]).startswith("worker 2 has another config than worker 0; give all workers the same --config")
    assert str(said[1]).startswith("worker 2 has another config than worker 1")
    assert str(said[2]).startswith("worker 0 has another config than worker 2")


def test_a_worker_is_missing(addresses):
    said = meet_all(addresses, {0: CONFIG, 2: CONFIG}, seconds=1.0)
    for index in (0, 2):
        assert isinstance(said[index], TimeoutError)
        text = f"worker 1 at {addresses[1]} does not answer worker {index} within 1 seconds; see whether it runs"
        assert str(said[index]).startswith(text)


def test_a_port_that_is_taken(addresses):
    with socket.create_server(("", int(addresses[0].rpartition(":")[2]))):
        said = meet_all(addresses, {0: CONFIG})
    assert str(said[0]).startswith(f"worker 0 cannot listen at {addresses[0]} (")


def child(text):
    """Returns a command that runs Python which knows `index`, its number, and `time`."""
    before = "import json, os, sys, time; index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
    return [sys.executable, "-c", before + text]


def test_workers_are_started(tmp_path):
    start_workers(child("print(os.environ['TF_CONFIG'])"), 3, tmp_path / "run", 60)
    clusters = [read_cluster((tmp_path / "run" / f"worker_{k}.log").read_text()) for k in range(3)]
    assert [cluster.number for cluster in clusters] == [0, 1, 2]
    (workers,) = {cluster.workers for cluster in clusters}
    assert len(set(workers)) == 3


def test_a_worker_that_fails_ends_all(tmp_path):
    text = "sys.exit('train_main: no data.') if index == 1 else time.sleep(600)"
    with pytest.raises(ChildProcessError, match=r"^worker 1 ended with code 1: no data \(from .*worker_1\.log\)\.$"):
        start_workers(child(text), 2, tmp_path, 60)


def test_a_silent_worker_ends_all(tmp_path):
    text = "while index == 0:\n    print('.', flush=True)\n    time.sleep(0.1)\ntime.sleep(600)"
    with pytest.raises(TimeoutError, match=r"worker 1 has printed nothing for 3 seconds, all are ended; see .*1\.log"):
        start_workers(child(text), 2, tmp_path, 3)
