"""An HTTP service over a network: it gathers the images of requests to batches and answers in JSON."""

import json
import re
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from tokenize import TokenError
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from keras_dynamic import ops
from keras_dynamic.data import decode_image
from keras_dynamic.messages import check_count, did_you_mean
from keras_dynamic.ops import check_images
from keras_dynamic.serving.answers import answers
from keras_dynamic.serving.batcher import Batcher, Unavailable
from keras_dynamic.serving.prometheus import Count, Histogram, gauge

RETRY_AFTER = 1  # seconds
_ANSWER = {"classes": "class", "labels": "labels", "values": "values"}  # of a task, in JSON
_BUDGET = (
    "a request has no budget of its own, as the thresholds belong to the network and hold for all images of a batch; "
    "start another service for another budget."
)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}  # by version
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Service:
    """Serves a network by HTTP from the moment it is made until it is closed.

    - POST /predict: the body is an .npy array, uint8 or float32 [n, height, width, channels], or a PNG or JPEG file;
      the answer {"predictions": [{"class": 3, "macs": 20951690, "decisions": {"unit1": 1, ...}}, ...]}, one for each
      image; /predict?logits=1 adds "logits". Multi-label networks answer "labels", regressions "values". 400, 411 and
      413 refuse a request in one sentence, {"error": "..."}; 503, with Retry-After, if too many images are waiting.
    - GET /healthz: 200, or 503 once the service is closing.
    - GET /metrics: requests by status, batches and their sizes, latency, images waiting and the sum of MACs, as
      Prometheus reads them.

    There is no encryption and no authentication: let a reverse proxy have them.

        with kd.serving.Service(model, port=8000) as service:
            print(service.url)

    Args:
        model: built DynamicModel, as serving.compact takes it; later changes of thresholds have effect.
        host: address to listen on; '0.0.0.0' for those of all networks.
        port: 0 for any that is free.
        largest_batch: images of a batch, and of a request, at most.
        wait_ms: milliseconds that images wait at most for others to come.
        queue: images that may wait at most, at least `largest_batch`.
        largest_body: bytes of a request at most.
        prepare: function from the pixels of an image file, uint8 [1, height, width, channels], to what the model
            takes; None for the pixels themselves.

    Raises:
        ValueError: if a number cannot be, or the model is none that compact takes.
        OSError: if the address is taken.
    """

    def __init__(
        self,
        model,
        host="127.0.0.1",
        port=8000,
        largest_batch=64,
        wait_ms=5.0,
        queue=512,
        largest_body=16 * 2**20,
        prepare=None,
    ):
        self.largest_body = check_count("largest_body", largest_body)
        answer = answers(model)
        self.shape, self.task, self.names = tuple(model.image_shape[1:]), model.task, model.decision_names
        self.prepare = prepare or (lambda pixels: pixels)
        answer(np.zeros((1, *self.shape), np.float32))  # compiles, so that the first request is as fast as the next

        def answered(images):
            found = answer(images)
            self.metrics.batch_size.observe(len(images))
            self.metrics.macs.add(int(found["macs"].sum()))
            return found

        self.batcher = Batcher(answered, largest_batch, wait_ms, queue)
        self.metrics = _Metrics(largest_batch)
        try:
            self._host, self._server = host, _Server((host, port), partial(_Handler, self))
        except OSError:
            self.batcher.close()
            raise
        self._changed = threading.Condition()
        self._closing, self._open = False, 0  # requests that are being answered
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="service", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the service, such as 'http://127.0.0.1:8000'."""
        return f"http://{self._host}:{self._server.server_port}"

    @property
    def closing(self) -> bool:
        """Whether new requests are refused."""
        return self._closing

    @contextmanager
    def answering(self):
        """Keeps the service from closing while a request is answered.

        Raises:
            Unavailable: if the service is closing already.
        """
        with self._changed:
            if self._closing:
                raise Unavailable("the service is closing; ask another one.")
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    @contextmanager
    def reading(self, connection):
        """Reads a connection until it ends or the service has closed.

        Args:
            connection: its socket.
        """
        with self._changed:
            self._connections.add(connection)
            if self._closed:
                _read_no_more(connection)
        try:
            yield
        finally:
            with self._changed:
                self._connections.remove(connection)

    def close(self):
        """Answers the requests that have arrived whole, refuses new ones with 503 meanwhile, and stops listening."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: self._open == 0)
        self.batcher.close()
        self._server.shutdown()
        with self._changed:
            self._closed = True
            for connection in self._connections:
                _read_no_more(connection)
        self._server.server_close()  # waits for the threads of the connections
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _read_no_more(connection):
    """Lets a thread that waits for a connection's next request go on as if the client had closed it."""
    with suppress(OSError):  # it has closed it
        connection.shutdown(socket.SHUT_RD)


class _Metrics:
    """What GET /metrics tells."""

    def __init__(self, largest_batch):
        sizes = [2**power for power in range(largest_batch.bit_length())]
        self.requests = Count("keras_dynamic_requests_total", "Requests to /predict by status.", "status")
        self.macs = Count("keras_dynamic_macs_total", "MACs of all images.")
        self.batch_size = Histogram("keras_dynamic_batch_size", "Images per batch: their count, and all images.", sizes)
        self.seconds = Histogram("keras_dynamic_request_seconds", "Time from a request to its answer.", _SECONDS)

    def text(self, waiting) -> str:
        """Returns all metrics, with the number of images that wait."""
        queue = gauge("keras_dynamic_queue_images", "Images that wait for their batch.", waiting)
        metrics = (self.requests, self.batch_size, self.seconds, self.macs)
        return "\n".join([*(line for metric in metrics for line in metric.lines()), *queue, ""])


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for them
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Says what went wrong, but for clients that have gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        sentence: why.
    """

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a byte from the client
    disable_nagle_algorithm = True

    def __init__(self, service, *arguments):
        self._service = service
        super().__init__(*arguments)

    def handle(self):
        """Answers one request after the other."""
        with self._service.reading(self.connection):
            super().handle()

    def do_GET(self):
        """Answers /healthz and /metrics."""
        service, path = self._service, urlsplit(self.path).path
        if path == "/healthz":
            self._reply(503 if service.closing else 200, {"status": "closing" if service.closing else "ok"})
        elif path == "/metrics":
            text = service.metrics.text(service.batcher.waiting)
            self._send(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._reply(404, {"error": f"there is no {path}; GET /healthz or /metrics, or POST to /predict."})

    def do_POST(self):
        """Answers /predict."""
        start, service = time.perf_counter(), self._service
        path = urlsplit(self.path).path
        status, content = 200, {}  # type: tuple[int, dict]
        with ExitStack() as kept_open:
            try:
                body = self._body()
                if path != "/predict":
                    raise _Refused(404, f"there is no {path} to POST to; POST to /predict.")
                kept_open.enter_context(service.answering())
                content = {"predictions": self._predict(body)}
            except _Refused as refused:
                status, content = refused.status, {"error": str(refused)}
            except Unavailable as unavailable:
                status, content = 503, {"error": str(unavailable)}
            self._reply(status, content)
        if path == "/predict":
            service.metrics.requests.add(value=str(status))
            service.metrics.seconds.observe(time.perf_counter() - start)

    def _body(self) -> bytes:
        """Reads the request's body, or raises _Refused and lets the connection end."""
        length, most = self.headers.get("Content-Length", ""), self._service.largest_body
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            self.close_connection = True
            raise _Refused(411, "expected the header Content-Length with the number of the body's bytes; send it.")
        count = int(length)
        if count > most:
            self.close_connection = True
            self.rfile.read(min(count, most))  # a client that still sends would not see the answer
            raise _Refused(413, f"the body has {count:,} bytes and may have {most:,}; send fewer images at a time.")
        body = self.rfile.read(count)
        if len(body) < count:
            self.close_connection = True
            raise _Refused(400, f"the body ended after {len(body):,} of {count:,} bytes; send it whole.")
        return body

    def _predict(self, body) -> list[dict]:
        """Returns what the network answers to a body's images, or raises _Refused or Unavailable."""
        service = self._service
        try:
            with_logits = _asks_for_logits(urlsplit(self.path).query)
            future = service.batcher.submit(_images(body, service))
        except ValueError as error:
            raise _Refused(400, str(error)) from error
        failure = future.exception()
        if failure is not None:
            self.log_error("a batch failed: %r", failure)
            raise _Refused(500, f"the network failed on the batch of these images: {type(failure).__name__}.")
        return _predictions(future.result(), service, with_logits)

    def _reply(self, status, content):
        self._send(status, json.dumps(content).encode() + b"\n", "application/json")

    def _send(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", str(RETRY_AFTER))
        if self.close_connection or self._service.closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        """Is silent, as /metrics counts the requests."""


def _asks_for_logits(query) -> bool:
    """Returns whether a query asks for logits; raises a ValueError if it asks for what there is not."""
    asked = dict(parse_qsl(query, keep_blank_values=True))
    for name in asked:
        if name in ("budget", "macs", "ms", "mj", "deadline"):
            raise ValueError(_BUDGET)
        if name != "logits":
            raise ValueError(f"/predict takes logits=1, got {name!r}{did_you_mean(name, ['logits'])}; leave it out.")
    if asked.get("logits", "0") not in ("0", "1"):
        raise ValueError(f"logits must be 0 or 1, got {asked['logits']!r}.")
    return asked.get("logits") == "1"


def _images(body, service):
    """Returns the images of a body as the model takes them; raises a ValueError if it has none."""
    if body.startswith(np.lib.format.MAGIC_PREFIX):
        images = _array(body)
        if images.ndim != len(service.shape) + 1:
            raise ValueError(
                f"expected images [n, {', '.join(map(str, service.shape))}], got an array of shape "
                f"{list(images.shape)}; put the images' number first."
            )
    elif len(service.shape) != 3 or service.shape[-1] not in (1, 3):
        raise ValueError(f"the network takes inputs of shape {list(service.shape)}; send an .npy array of them.")
    else:
        images = service.prepare(decode_image(body, service.shape)[None])
    if not len(images):
        raise ValueError("expected at least one image, got an array of none; send some.")
    check_images(images, (None, *service.shape))
    return images


def _array(body) -> np.ndarray:
    """Returns the array of an .npy file's bytes, uint8 or float32, without a copy."""
    file = BytesIO(body)
    try:
        shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError(f"expected a whole .npy array, as numpy.save writes it, got another ({error!r}).") from error
    if dtype not in (np.uint8, np.float32):
        raise ValueError(f"expected an array of uint8 or float32, got {dtype}; convert it.")
    numbers = memoryview(body)[file.tell() :]
    if min(shape, default=0) < 0 or len(numbers) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError(f"expected an .npy array of shape {list(shape)}, got {len(numbers):,} bytes of it; send all.")
    return np.frombuffer(numbers, dtype).reshape(shape, order="F" if by_columns else "C")


def _predictions(found, service, with_logits) -> list[dict]:
    """Returns what the service answers of each image."""
    finite = np.isfinite(found["logits"]).reshape(len(found["logits"]), -1).all(axis=1)
    if not finite.all():
        raise _Refused(
            400,
            f"the network's logits of image {int(finite.argmin())} are not finite; send numbers as in its training.",
        )
    named = ops.answers(found["logits"], service.task)
    predictions = []
    for answer, logits, decisions, macs in zip(named, found["logits"], found["decisions"], found["macs"], strict=True):
        prediction = {_ANSWER[service.task]: answer.tolist(), "macs": int(macs)}
        prediction["decisions"] = dict(zip(service.names, decisions.tolist(), strict=True))
        predictions.append({**prediction, "logits": logits.tolist()} if with_logits else prediction)
    return predictions
