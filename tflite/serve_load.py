r"""Measures tflite/serve.py under load, beside the same service of the network that runs everything.

    python tflite/serve_load.py --record=serving-load -- --model=zoo:resnet32_cifar10_exits --macs=50e6

Flags behind -- are those of serve.py. Both services run on this computer, in processes of their own, and get the same
requests, one image each. First the connections send one request after the other, which gives the images per second that
each can answer. Then requests come at fixed rates, --loads times those of the static network, whether or not earlier
ones are answered; the time of each is counted from the moment at which it was due. --record writes it to results/.
"""

import contextlib
import http.client
import io
import itertools
import json
import math
import queue
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import terminal
from absl import app, flags

_IMAGES = flags.DEFINE_string(
    "images", "shipped", "folder of PNG and JPEG files, sent as they are; 'shipped': 1,000 of CIFAR-10, for the zoo"
)
_REQUESTS = flags.DEFINE_integer("requests", 2000, "requests of each measurement", lower_bound=1)
_LOADS = flags.DEFINE_list("loads", ["0.5", "0.8", "1.2"], "requests per second, over what the static network answers")
_CONNECTIONS = flags.DEFINE_integer("connections", 32, "connections that send requests", lower_bound=1)
_RECORD = flags.DEFINE_string("record", None, "id of the record to write to results/")

_SERVE = Path(__file__).with_name("serve.py")
_SAYS = "serving on http://"
_WAIT = 60  # seconds that an answer may take


class Reply(NamedTuple):
    """The answer to a request.

    Attributes:
        status: of HTTP.
        content: its body.
        seconds: from when the request was due to the answer.
        end: when it came, seconds of time.perf_counter.
    """

    status: int
    content: bytes
    seconds: float
    end: float


def main(argv):
    """Measures and prints what it found."""
    start = time.monotonic()
    with terminal.ending("serve_load"):
        loads = [_load(text) for text in _LOADS.value]
        with terminal.quiet():
            bodies = list(itertools.islice(itertools.cycle(read_bodies(_IMAGES.value)), _REQUESTS.value))
            with service(argv[1:]) as dynamic, service([*argv[1:], "--static"]) as static:
                figures = measure({"dynamic": dynamic[1], "static": static[1]}, bodies, loads)
            if _RECORD.value:
                write(figures, f"{dynamic[0]} beside {static[0]}", argv[1:], time.monotonic() - start)
    print("\n".join(f"{name} {value:.4g}" for name, value in figures.items()))


def _load(text) -> float:
    try:
        load = float(text)
    except ValueError:
        load = 0.0
    if not 0 < load < float("inf"):
        raise ValueError(f"--loads must be positive numbers, got {text!r}.")
    return load


def read_bodies(images: str) -> list[bytes]:
    """Returns the bodies of requests, one image each.

    Args:
        images: folder of PNG and JPEG files, or 'shipped'.
    """
    import numpy as np

    from keras_dynamic.data import shipped
    from keras_dynamic.data.image_files import files_by_class

    if images != "shipped":
        return [path.read_bytes() for path in files_by_class(images)[0]]
    bodies = []
    for image in shipped().x_test:
        file = io.BytesIO()
        np.save(file, image[None])
        bodies.append(file.getvalue())
    return bodies


@contextlib.contextmanager
def service(arguments):
    """Runs serve.py; yields what it serves and its address, and ends it.

    Args:
        arguments: flags of serve.py.

    Raises:
        ValueError: if it does not start, in its own words, or does not end as it should.
    """
    command = [sys.executable, str(_SERVE), *arguments, "--port=0"]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True)
        try:
            said = []
            while not said or not said[-1].startswith(_SAYS):
                said.append(process.stdout.readline())
                if not said[-1]:
                    process.wait(_WAIT)
                    complaints.seek(0)
                    raise ValueError(complaints.read().strip())
            yield said[0].strip(), said[-1].strip().removeprefix(_SAYS)
        finally:
            process.terminate()
            code = process.wait(_WAIT)
            process.stdout.close()
        if code:
            raise ValueError(f"serve.py ended with status {code}; run it alone to see why.")


def measure(addresses, bodies, loads) -> dict[str, float]:
    """Measures two services in turn, at each load.

    Args:
        addresses: {'dynamic': host and port, 'static': ...}.
        bodies: of the requests.
        loads: requests per second, over what the static network answers without a pause.

    Returns:
        macs_share, dynamic over static; throughput_dynamic and throughput_static, images per second without a pause;
        and at each load, 80 for 0.8: throughput_dynamic_80, p50_ms_dynamic_80, p99_ms_dynamic_80, of the images that
        were answered, and refused_dynamic_80, the share of the others; likewise of the static network.
    """
    figures, macs = {}, {}
    for name, address in addresses.items():
        send(address, bodies[: _CONNECTIONS.value])  # the first requests of a process are slow
        replies = send(address, bodies)
        figures[f"throughput_{name}"] = throughput(replies)
        macs[name] = [each["macs"] for reply in replies for each in answered(reply)]
    figures["macs_share"] = _mean(macs["dynamic"]) / _mean(macs["static"])
    rates = {f"{100 * load:.0f}": load * figures["throughput_static"] for load in loads}
    for (percent, rate), (name, address) in itertools.product(rates.items(), addresses.items()):
        replies = send(address, bodies, rate)
        found = [each for each in replies if each.status == 200]
        of = f"{name}_{percent}"
        figures[f"refused_{of}"] = 1 - len(found) / len(replies)
        if found:
            figures[f"throughput_{of}"] = throughput(found)
            figures |= {f"p{share}_ms_{of}": 1e3 * percentile(found, share) for share in (50, 99)}
    return figures


def send(address, bodies, rate=None) -> list[Reply]:
    """Sends requests and returns their replies, in the order of their end.

    Args:
        address: host and port.
        bodies: of the requests.
        rate: requests per second; None for each as soon as a connection is free.

    Raises:
        ValueError: if one is refused for another reason than overload.
    """
    todo: queue.SimpleQueue = queue.SimpleQueue()
    for numbered in enumerate(bodies):
        todo.put(numbered)
    start = time.perf_counter()

    def client():
        connection = http.client.HTTPConnection(address, timeout=_WAIT)
        replies = []
        with contextlib.closing(connection), contextlib.suppress(queue.Empty):
            while True:
                number, body = todo.get_nowait()
                due = time.perf_counter() if rate is None else start + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                connection.request("POST", "/predict", body)
                response = connection.getresponse()
                content, end = response.read(), time.perf_counter()
                replies.append(Reply(response.status, content, end - due, end))
        return replies

    with ThreadPoolExecutor(_CONNECTIONS.value) as pool:
        clients = [pool.submit(client) for _ in range(_CONNECTIONS.value)]
        replies = sorted((reply for each in clients for reply in each.result()), key=lambda reply: reply.end)
    for reply in replies:
        if reply.status not in (200, 503):
            raise ValueError(f"the service refused an image with status {reply.status}: {reply.content.decode()}")
    return replies


def answered(reply) -> list[dict]:
    """Returns the predictions of a reply."""
    if reply.status != 200:
        raise ValueError("the service refuses requests of so many connections; lower --connections or raise --queue.")
    return json.loads(reply.content)["predictions"]


def throughput(replies) -> float:
    """Returns images per second, from when the first was due to the last answer."""
    return len(replies) / (replies[-1].end - min(each.end - each.seconds for each in replies))


def percentile(replies, share) -> float:
    """Returns the seconds that a share of replies, in percent, took at most."""
    seconds = sorted(each.seconds for each in replies)
    return seconds[math.ceil(share / 100 * len(seconds)) - 1]


def _mean(numbers):
    return sum(numbers) / len(numbers)


def write(figures, network, arguments, seconds):
    """Writes the record of what was measured."""
    from keras_dynamic.experiments.records import write_record

    data = f"{_REQUESTS.value:,} requests of one image, {_IMAGES.value}, {_CONNECTIONS.value} connections"
    settings = {"serve": " ".join(arguments), "loads": ",".join(_LOADS.value), "seed": 0}
    note = "requests come from the same cores"
    write_record(_RECORD.value, "serving", network, data, settings, figures, {}, seconds, note)


if __name__ == "__main__":
    app.run(main)
