"""The HTTP service, over a loopback connection: answers, refusals, overload, metrics and its end."""

import http.client
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from PIL import Image

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel, NormalizePixels
from keras_dynamic.serving import Service, answers

LIMIT = 100_000


@pytest.fixture
def model(toy_chain, toy_images, spread_gates):
    found = DynamicModel(toy_chain(), PerUnitGates())
    found.build((None, 8, 8, 3))
    spread_gates(found, toy_images(16))
    return found


@pytest.fixture
def service(model):
    with Service(model, port=0, largest_batch=16, wait_ms=0, queue=16, largest_body=LIMIT) as found:
        yield found


def ask(service, method, path, body=None, **headers):
    """Returns (status, headers, content) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, response.headers, json.loads(content) if is_json else content.decode()
    finally:
        connection.close()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def encoded(image, kind):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def check(model, images, predictions, logits=False):
    found = answers(model)(images)
    assert [each["class"] for each in predictions] == found["logits"].argmax(-1).tolist()
    assert [each["macs"] for each in predictions] == found["macs"].tolist()
    assert [list(each["decisions"]) for each in predictions] == [model.decision_names] * len(images)
    assert [list(each["decisions"].values()) for each in predictions] == found["decisions"].tolist()
    assert all(("logits" in each) is logits for each in predictions)
    if logits:
        np.testing.assert_allclose([each["logits"] for each in predictions], found["logits"], atol=1e-5)


def test_arrays(service, model, toy_images):
    for kind in (np.uint8, np.float32):
        images = toy_images(9).astype(kind)
        status, _, content = ask(service, "POST", "/predict", npy(images))
        assert status == 200
        check(model, images, content["predictions"])
        status, _, content = ask(service, "POST", "/predict?logits=1", npy(np.asfortranarray(images)))
        check(model, images, content["predictions"], logits=True)


def test_image_files(service, model, toy_images):
    image = toy_images(1)[0]
    _, _, content = ask(service, "POST", "/predict?logits=1", encoded(image, "PNG"))
    check(model, image[None], content["predictions"], logits=True)
    jpeg = encoded(np.full((4, 9, 3), 200, np.uint8), "JPEG")  # of another size
    _, _, content = ask(service, "POST", "/predict?logits=1", jpeg)
    check(model, np.full((1, 8, 8, 3), 200, np.uint8), content["predictions"], logits=True)


def test_image_files_are_prepared(model, toy_images):
    image = toy_images(1)[0]
    with Service(model, port=0, prepare=lambda pixels: (pixels / 2).astype("float32")) as service:
        _, _, content = ask(service, "POST", "/predict?logits=1", encoded(image, "PNG"))
    check(model, (image[None] / 2).astype("float32"), content["predictions"], logits=True)


def test_several_requests_on_one_connection(service, toy_images):
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
    for body, expected in ((npy(toy_images(1)), 200), (b"text", 400), (npy(toy_images(2)), 200)):
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        response.read()
        assert response.status == expected
        assert not response.will_close
    connection.close()


NOISE = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
ONE = np.zeros((1, 8, 8, 3), np.uint8)
BAD = [
    ("/predict", b"text", 400, "expected a PNG or JPEG file, got other bytes"),
    ("/predict", b"", 400, "expected a PNG or JPEG file, got other bytes"),
    ("/predict", encoded(np.zeros((8, 8, 3), np.uint8), "BMP"), 400, "expected a PNG or JPEG file, got other"),
    ("/predict", encoded(NOISE, "PNG")[:500], 400, "whole PNG or JPEG file, got a broken"),
    ("/predict", npy(np.zeros((1, 8, 8, 3))), 400, "an array of uint8 or float32, got float64; convert it"),
    ("/predict", npy(np.zeros((8, 8, 3), np.uint8)), 400, "images [n, 8, 8, 3], got an array of shape [8, 8, 3]"),
    ("/predict", npy(np.zeros((1, 9, 8, 3), np.uint8)), 400, "inputs of shape [8, 8, 3], got [9, 8, 3]"),
    ("/predict", npy(np.zeros((0, 8, 8, 3), np.uint8)), 400, "expected at least one image"),
    ("/predict", npy(np.zeros((17, 8, 8, 3), np.uint8)), 400, "expected 1 to 16 images at a time, got 17"),
    ("/predict", npy(np.full((1, 8, 8, 3), np.nan, "f")), 400, "finite numbers, got NaN or infinity in image 0"),
    ("/predict", npy(np.full((1, 8, 8, 3), 3e38, "f")), 400, "logits of image 0 are not finite"),
    ("/predict", npy(ONE)[:-1], 400, "of shape [1, 8, 8, 3], got 191 bytes of it"),
    ("/predict", b"\x93NUMPY\x01\x00\x04\x00{(((", 400, "expected a whole .npy array"),
    ("/predict", b"\x93NUMPY\x09\x00", 400, "expected a whole .npy array"),
    ("/predict", b"\x93NUMPY", 400, "expected a whole .npy array"),
    ("/predict?budget=1e6", npy(ONE), 400, "a request has no budget of its own"),
    ("/predict?logit=1", npy(ONE), 400, "got 'logit' (did you mean 'logits'?)"),
    ("/predict?logits=yes", npy(ONE), 400, "logits must be 0 or 1, got 'yes'"),
    ("/predict", bytes(LIMIT + 1), 413, "the body has 100,001 bytes and may have 100,000"),
    ("/other", b"", 404, "there is no /other to POST to"),
]


def test_bad_input_is_one_sentence(service, toy_images):
    for path, body, status, words in BAD:
        found, _, content = ask(service, "POST", path, body)
        assert (found, list(content)) == (status, ["error"]), words
        assert words in content["error"]
        assert "\n" not in content["error"]
        assert ask(service, "POST", "/predict", npy(toy_images(1)))[0] == 200


def test_an_array_said_to_be_huge_takes_no_memory(service):
    header = npy(ONE).replace(b"(1, 8, 8, 3)", b"(1 << 60,)  ")
    assert ask(service, "POST", "/predict", header)[0] == 400
    header = npy(ONE).replace(b"(1, 8, 8, 3), }   ", b"(999999999,8,8,3),}")
    status, _, content = ask(service, "POST", "/predict", header)
    assert (status, "of shape [999999999, 8, 8, 3]" in content["error"]) == (400, True)


def test_a_body_of_unknown_length(service):
    for headers in ({}, *({"Content-Length": length} for length in ("-1", "many", "9" * 30))):
        connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
        connection.putrequest("POST", "/predict")
        for header in headers.items():
            connection.putheader(*header)
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.will_close) == (411, True)
        assert "expected the header Content-Length" in json.loads(response.read())["error"]
        connection.close()


def test_a_task_names_its_answers(toy_chain, toy_images):
    chain = toy_chain()
    for task, key in (("labels", "labels"), ("values", "values")):
        model = DynamicModel(chain, PerUnitGates(), task=task)
        model.build((None, 8, 8, 3))
        with Service(model, port=0) as service:
            _, _, content = ask(service, "POST", "/predict", npy(toy_images(2)))
        logits = answers(model)(toy_images(2))["logits"]
        expected = logits if task == "values" else (logits > 0).astype(int)
        np.testing.assert_allclose([each[key] for each in content["predictions"]], expected, atol=1e-5)


def test_inputs_that_are_no_images(toy_images):
    from keras_dynamic.layers import Chain, Residual

    unit = Residual([keras.layers.Dense(4)], name="unit")
    model = DynamicModel(Chain([NormalizePixels((0.5,) * 4, (0.25,) * 4)], [unit], [keras.layers.Dense(2)]))
    model.build((None, 5, 4))
    with Service(model, port=0) as service:
        status, _, content = ask(service, "POST", "/predict", encoded(toy_images(1)[0], "PNG"))
    assert (status, "inputs of shape [5, 4]; send an .npy" in content["error"]) == (400, True)


def metrics(service):
    """Returns {name with labels: number} of what /metrics says."""
    status, headers, text = ask(service, "GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics(service, model, toy_images):
    for count in (1, 3, 3):
        ask(service, "POST", "/predict", npy(toy_images(count)))
    ask(service, "POST", "/predict", b"text")
    found = metrics(service)
    assert found['keras_dynamic_requests_total{status="200"}'] == 3
    assert found['keras_dynamic_requests_total{status="400"}'] == 1
    macs = answers(model)(toy_images(3))["macs"]
    assert found["keras_dynamic_macs_total"] == 2 * macs.sum() + macs[0]
    sizes = {bound: found[f'keras_dynamic_batch_size_bucket{{le="{bound}"}}'] for bound in (1, 2, 4, 16, "+Inf")}
    assert sizes == {1: 1, 2: 1, 4: 3, 16: 3, "+Inf": 3}
    assert (found["keras_dynamic_batch_size_sum"], found["keras_dynamic_batch_size_count"]) == (7, 3)
    assert found["keras_dynamic_request_seconds_count"] == 4 == found['keras_dynamic_request_seconds_bucket{le="+Inf"}']
    assert found["keras_dynamic_request_seconds_sum"] > 0
    assert found["keras_dynamic_queue_images"] == 0


def test_health_and_other_paths(service):
    assert ask(service, "GET", "/healthz")[::2] == (200, {"status": "ok"})
    status, _, content = ask(service, "GET", "/index.html")
    assert (status, "there is no /index.html; GET /healthz" in content["error"]) == (404, True)


@contextmanager
def stopped(service):
    """Holds the service's network; yields (begun, go): a batch has begun, and lets all of them end."""
    begun, go, run = threading.Semaphore(0), threading.Event(), service.batcher._function

    def held(images):
        begun.release()
        assert go.wait(60)
        return run(images)

    service.batcher._function = held
    try:
        yield begun, go
    finally:
        go.set()


def until(condition):
    """Waits for a condition, a minute at most."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("waited for a minute")


def test_overload(service, model, toy_images):
    with stopped(service) as (begun, go), ThreadPoolExecutor() as pool:
        running = pool.submit(ask, service, "POST", "/predict", npy(toy_images(1)))
        assert begun.acquire(timeout=60)
        waiting = pool.submit(ask, service, "POST", "/predict", npy(toy_images(16)))
        until(lambda: service.batcher.waiting == 16)
        assert metrics(service)["keras_dynamic_queue_images"] == 16
        status, headers, content = ask(service, "POST", "/predict", npy(toy_images(1)))
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "16 images are waiting and 16 may" in content["error"]
        go.set()
        check(model, toy_images(1), running.result()[2]["predictions"])
        check(model, toy_images(16), waiting.result()[2]["predictions"])
    assert metrics(service)['keras_dynamic_requests_total{status="503"}'] == 1


def test_closing_answers_what_has_arrived_and_refuses_new_requests(model, toy_images):
    service = Service(model, port=0, wait_ms=0)
    with stopped(service) as (begun, go), ThreadPoolExecutor() as pool:
        running = pool.submit(ask, service, "POST", "/predict", npy(toy_images(2)))
        assert begun.acquire(timeout=60)
        closed = pool.submit(service.close)
        until(lambda: service.closing)
        status, headers, content = ask(service, "POST", "/predict", npy(toy_images(1)))
        assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
        assert "the service is closing" in content["error"]
        assert ask(service, "GET", "/healthz")[::2] == (503, {"status": "closing"})
        go.set()
        check(model, toy_images(2), running.result()[2]["predictions"])
        closed.result(timeout=60)
    with pytest.raises(ConnectionRefusedError):
        ask(service, "GET", "/healthz")


def test_closing_ends_connections_without_a_request(model, toy_images):
    before = threading.active_count()
    service = Service(model, port=0)
    address = service.url.removeprefix("http://")
    silent, idle = (http.client.HTTPConnection(address, timeout=60) for _ in range(2))
    silent.connect()
    idle.request("POST", "/predict", npy(toy_images(1)))
    idle.getresponse().read()
    until(lambda: threading.active_count() == before + 4)  # batcher, service and the two connections
    service.close()
    assert threading.active_count() == before
    for connection in (silent, idle):
        assert connection.sock.recv(1) == b""
        connection.close()


def test_a_network_that_fails(service, toy_images, capsys):
    run, service.batcher._function = service.batcher._function, lambda images: 1 / 0
    status, _, content = ask(service, "POST", "/predict", npy(toy_images(1)))
    assert (status, content["error"]) == (500, "the network failed on the batch of these images: ZeroDivisionError.")
    assert "a batch failed: ZeroDivisionError('division by zero')" in capsys.readouterr().err
    service.batcher._function = run
    assert ask(service, "POST", "/predict", npy(toy_images(1)))[0] == 200


def test_an_address_that_is_taken(service, model):
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        Service(model, port=int(service.url.rpartition(":")[2]))
    assert threading.active_count() == before


def test_numbers_that_cannot_be(model):
    with pytest.raises(ValueError, match="largest_body must be a whole number of at least 1, got 0"):
        Service(model, port=0, largest_body=0)
