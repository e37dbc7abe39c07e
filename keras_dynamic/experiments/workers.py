"""Workers of one training: how they find each other, and how a trial starts several of them on one machine."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from keras_dynamic.files import plain

_STEP = 0.1  # seconds between two looks


class Cluster(NamedTuple):
    """What TF_CONFIG says.

    Attributes:
        workers: 'host:port' of each worker.
        number: of this one, from 0.
    """

    workers: tuple[str, ...]
    number: int


def tf_config(workers, index) -> str:
    """Returns the TF_CONFIG of a worker.

    Args:
        workers: 'host:port' of each worker.
        index: number of this one, from 0.
    """
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def read_cluster(text=None) -> Cluster:
    """Reads TF_CONFIG.

    Args:
        text: its value; None for that of the environment.

    Raises:
        ValueError: if it is missing or does not describe a worker among workers.
    """
    text = os.environ.get("TF_CONFIG", "") if text is None else text
    example = tf_config(["host0:2222", "host1:2222"], 0)
    if not text:
        raise ValueError(
            "distribute='workers' needs TF_CONFIG in each worker's environment; run the command on each machine with "
            f"TF_CONFIG='{example}' and that machine's index, or with --workers=2 for a trial on this one."
        )
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG must be JSON such as {example}, got {text!r} ({error}).") from error
    for key in ("cluster", "task"):
        if not isinstance(found, dict) or not isinstance(found.get(key), dict):
            raise ValueError(f"TF_CONFIG must have 'cluster' and 'task', as {example}, got {text!r}, without {key!r}.")
    workers, task = found["cluster"].get("worker"), found["task"]
    index, listed = task.get("index"), isinstance(workers, list) and all(map(_is_address, workers)) and workers
    if not listed or set(found["cluster"]) != {"worker"}:
        raise ValueError(
            f"the cluster of TF_CONFIG must be {{'worker': ['host:port', ...]}} alone, got {found['cluster']!r}."
        )
    if task.get("type") != "worker" or type(index) is not int or not 0 <= index < len(workers):
        raise ValueError(
            f"the task of TF_CONFIG must be {{'type': 'worker', 'index': 0 to {len(workers) - 1}}}, got {task!r}."
        )
    return Cluster(tuple(workers), index)


def _is_address(address) -> bool:
    return isinstance(address, str) and address.rpartition(":")[0] != "" and address.rpartition(":")[2].isdigit()


def digest(config) -> str:
    """Returns a short text that differs for different configs, ml_collections ConfigDicts."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=plain).encode()).hexdigest()[:16]


def meet(cluster, config, seconds):
    """Returns once all workers have met, with the same config.

    TensorFlow itself waits an hour for a worker that is missing, and in vain for one with another config.

    Args:
        cluster: Cluster.
        config: ml_collections ConfigDict of this worker.
        seconds: how long to wait for the others.

    Raises:
        TimeoutError: if a worker does not answer within that time.
        ValueError: if a worker has another config.
        OSError: if this worker's port is taken.
    """
    mine = digest(config)
    heard: dict[int, str] = {}
    told: set[int] = set()
    others = {k: address for k, address in enumerate(cluster.workers) if k != cluster.number}
    end = time.monotonic() + seconds
    with _listening(cluster) as server:
        # The door stays open until every worker has come in and has let this one in.
        while heard.keys() != others.keys() or told != others.keys():
            missing = [k for k in others if k not in heard or k not in told]
            if time.monotonic() > end:
                raise TimeoutError(
                    f"worker {missing[0]} at {others[missing[0]]} does not answer worker {cluster.number} within "
                    f"{seconds:g} seconds; see whether it runs, and whether TF_CONFIG has its address."
                )
            told |= {k for k in others if k not in told and _tell(others[k], f"{cluster.number} {mine}")}
            index, _, other = _hear(server).partition(" ")
            if index.isdigit() and int(index) in others:
                heard[int(index)] = other
    unequal = [k for k, other in sorted(heard.items()) if other != mine]
    if unequal:
        raise ValueError(
            f"worker {unequal[0]} has another config than worker {cluster.number}; give all workers the same --config, "
            "--config.KEY=VALUE and --seed."
        )


def _listening(cluster):
    address = cluster.workers[cluster.number]
    try:
        server = socket.create_server(("", int(address.rpartition(":")[2])))
    except OSError as error:
        raise OSError(
            f"worker {cluster.number} cannot listen at {address} ({error}); give another port in TF_CONFIG."
        ) from error
    server.settimeout(_STEP)
    return server


def _tell(address, line) -> bool:
    """Sends a line; returns whether it arrived."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.sendall(f"{line}\n".encode())
        return True
    except OSError:
        return False


def _hear(server) -> str:
    """Returns a line that was sent, '' if there is none."""
    try:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(1)
            return connection.makefile(encoding="utf-8", errors="replace").readline().strip()
    except OSError:
        return ""


def start_workers(command, count, folder, seconds):
    """Runs a command as several workers on this machine's CPU, and waits for them: a trial of a training on several.

    Args:
        command: list of program and arguments, the same for all; TF_CONFIG tells them apart.
        count: number of workers.
        folder: gets worker_0.log, worker_1.log, ..., what each of them prints.
        seconds: how long a worker may print nothing while others run.

    Raises:
        ChildProcessError: if a worker fails; the others are ended.
        TimeoutError: if a worker is silent; all are ended.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    logs = [Path(folder) / f"worker_{k}.log" for k in range(count)]
    with contextlib.ExitStack() as stack:
        children = []
        for k, path in enumerate(logs):
            log = stack.enter_context(path.open("wb"))
            environment = {**os.environ, "TF_CONFIG": tf_config(addresses, k), "CUDA_VISIBLE_DEVICES": "-1"}
            children.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
            stack.callback(_end, children[-1])
        _watch(children, logs, seconds)


def _free_ports(count) -> list[int]:
    with contextlib.ExitStack() as stack:  # all are open at once, so that they differ
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def _watch(children, logs, seconds):
    """Returns when all workers have ended well; raises as start_workers does."""
    while True:
        codes = [child.poll() for child in children]
        for k, code in enumerate(codes):
            if code:
                lines = logs[k].read_text(encoding="utf-8", errors="replace").strip().splitlines()
                said = lines[-1].removeprefix("train_main: ").rstrip(".") if lines else "it printed nothing"
                raise ChildProcessError(f"worker {k} ended with code {code}: {said} (from {logs[k]}).")
        running = [k for k, code in enumerate(codes) if code is None]
        if not running:
            return
        silent = min(running, key=lambda k: logs[k].stat().st_mtime)
        if len(running) > 1 and time.time() - logs[silent].stat().st_mtime > seconds:
            raise TimeoutError(
                f"worker {silent} has printed nothing for {seconds:g} seconds, all are ended; see {logs[silent]}, or "
                "give a longer --worker_seconds."
            )
        time.sleep(_STEP)


def _end(child):
    """Ends a child process, if it still runs."""
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
