"""Gathers the images of many callers to batches, under a bound on the time that they wait for one another."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.messages import check_count, check_number


class Unavailable(RuntimeError):
    """The images are not taken: too many are waiting, or the batcher is closed."""


class _Request(NamedTuple):
    """Images of one caller.

    Attributes:
        images: array, [n, ...].
        future: of their answers.
        arrived: seconds of time.monotonic.
    """

    images: np.ndarray
    future: Future
    arrived: float


class Batcher:
    """Runs a function on batches made of the images of many callers, one batch after the other, in a thread of its own.

    A batch begins once it is full, or its first images have waited for `wait_ms`; images that arrive while another
    batch runs wait for its end. The images of one caller stay in one batch, in their order.

        with Batcher(kd.serving.answers(model)) as batcher:
            macs = batcher.submit(images).result()["macs"]

    Args:
        function: from images [n, ...] to {name: array [n, ...]}.
        largest_batch: images of a batch at most.
        wait_ms: milliseconds that images wait at most for others to come.
        queue: images that may wait at most, at least `largest_batch`.

    Raises:
        ValueError: if a number cannot be.
    """

    def __init__(self, function: Callable[[np.ndarray], dict[str, Any]], largest_batch=64, wait_ms=5.0, queue=512):
        self.largest_batch = check_count("largest_batch", largest_batch)
        self._queue = check_count("queue", queue, largest_batch)
        self._wait = check_number("wait_ms", wait_ms) / 1e3
        self._function = function
        self._requests: deque[_Request] = deque()
        self._waiting = 0  # images of these
        self._closed = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Images that wait for their batch to begin."""
        return self._waiting

    def submit(self, images) -> Future:
        """Lets images wait for a batch.

        Args:
            images: array, [n, ...], of the shape and values that the function takes.

        Returns:
            Future of {name: array [n, ...]}, which raises what the function raises.

        Raises:
            ValueError: if there are no images, or more than a batch holds.
            Unavailable: if too many are waiting, or the batcher is closed.
        """
        if not 1 <= len(images) <= self.largest_batch:
            raise ValueError(f"expected 1 to {self.largest_batch} images at a time, got {len(images)}; give them so.")
        with self._changed:
            if self._closed:
                raise Unavailable("the batcher is closed; make another one.")
            if self._waiting + len(images) > self._queue:
                raise Unavailable(
                    f"{self._waiting} images are waiting and {self._queue} may, so that {len(images)} more cannot; "
                    "try again later."
                )
            request = _Request(np.asarray(images), Future(), time.monotonic())
            self._requests.append(request)
            self._waiting += len(images)
            self._changed.notify_all()
        return request.future

    def close(self):
        """Takes no more images, and returns once those that wait have their answers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _work(self):
        while requests := self._next():
            self._answer([each for each in requests if each.future.set_running_or_notify_cancel()])

    def _next(self) -> list[_Request]:
        """Waits for the next batch and returns its requests; none if there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._closed)
            if self._requests:
                left = self._requests[0].arrived + self._wait - time.monotonic()
                self._changed.wait_for(lambda: self._waiting >= self.largest_batch or self._closed, left)
            taken: list[_Request] = []
            count = 0
            while self._requests and count + len(self._requests[0].images) <= self.largest_batch:
                taken.append(self._requests.popleft())
                count += len(taken[-1].images)
            self._waiting -= count
            return taken

    def _answer(self, requests):
        if not requests:
            return
        try:
            found = self._function(np.concatenate([each.images for each in requests]))
        except Exception as error:  # noqa: BLE001  the callers get it, whatever it is, and the next batch its turn
            for each in requests:
                each.future.set_exception(error)
            return
        start = 0
        for each in requests:
            rows = slice(start, start + len(each.images))
            each.future.set_result({name: value[rows] for name, value in found.items()})
            start = rows.stop
