"""tflite/serve_load.py: its record of a tiny load, its arithmetic, and what it refuses."""

import http.server
import os
import subprocess
import sys
import threading
from collections import Counter

import pytest

from keras_dynamic.experiments import records
from tests.tflite.conftest import ROOT

SCRIPT = "serve_load.py"
OF_A_LOAD = ("throughput", "p50_ms", "p99_ms", "refused")


@pytest.mark.ci
def test_figures_and_record(saved, in_classes, tmp_path):
    flags = ["--images=in_classes", "--requests=50", "--loads=0.5,0.25", "--connections=4", "--record=load"]
    (tmp_path / "gated.keras").write_bytes(saved.read_bytes())
    (tmp_path / "tflite").symlink_to(ROOT / "tflite")  # a record names no absolute path
    command = [sys.executable, f"tflite/{SCRIPT}", *flags, "--", "--model=gated.keras"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (record,) = records.load_all(tmp_path / "results")
    each = {f"{kind}_{name}_{load}" for kind in OF_A_LOAD for name in ("dynamic", "static") for load in (25, 50)}
    assert set(record.figures) == {"throughput_dynamic", "throughput_static", "macs_share"} | each
    assert all(value > 0 for name, value in record.figures.items() if not name.startswith("refused"))
    assert 0 < record.figures["macs_share"] < 1
    assert record.method == "serving"
    assert record.network.endswith(", with everything on")
    assert all(record.figures[f"p50_ms_{of}"] <= record.figures[f"p99_ms_{of}"] for of in ("dynamic_25", "static_50"))


@pytest.fixture
def script(module, monkeypatch):
    """The script as a module, with four connections."""
    monkeypatch.syspath_prepend(ROOT / "tflite")
    found = module("serve_load")
    monkeypatch.setattr(found, "_CONNECTIONS", type("Flag", (), {"value": 4}))
    return found


@pytest.fixture
def endpoint():
    """Yields (address, statuses to answer with, bodies that arrived)."""
    statuses, arrived = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            arrived.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(statuses.pop() if statuses else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", statuses, arrived
        server.shutdown()


@pytest.mark.parametrize("rate", [None, 500.0])
def test_each_body_is_sent_once(script, endpoint, rate):
    address, statuses, arrived = endpoint
    statuses += [503, 503, 503]
    bodies = [str(number).encode() for number in range(40)]
    replies = script.send(address, bodies, rate)
    assert Counter(arrived) == Counter(bodies)
    assert Counter(each.status for each in replies) == {200: 37, 503: 3}
    assert [each.end for each in replies] == sorted(each.end for each in replies)
    if rate is not None:  # the last one was not due before
        assert replies[-1].end - min(each.end - each.seconds for each in replies) >= 39 / rate


def test_a_request_that_is_refused_ends_the_measurement(script, endpoint):
    address, statuses, _ = endpoint
    statuses += [400]
    with pytest.raises(ValueError, match=r"refused an image with status 400: \{\}"):
        script.send(address, [b"1", b"2"])


def test_times_count_from_when_a_request_was_due(script):
    replies = [script.Reply(200, b"", seconds, end) for seconds, end in ((0.5, 10.5), (1.0, 11.0), (3.0, 12.0))]
    assert script.throughput(replies) == pytest.approx(3 / 3.0)  # due at 10, 10 and 9
    assert [script.percentile(replies, share) for share in (1, 50, 99)] == [0.5, 1.0, 3.0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--loads=0"], "--loads must be positive numbers, got '0'"),
        (["--loads=0.5,many"], "--loads must be positive numbers, got 'many'"),
        (["--images=nowhere"], "got 'nowhere', which is no folder"),
        (
            ["--", "--model=none.keras"],
            "serve: --model must name .keras or ",
        ),
    ],
)
def test_bad_flags_are_one_sentence(run, flags, words):
    done = run(SCRIPT, *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("serve_load: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
