"""Batches made of the images of many callers; the function waits for the tests, so that no time decides."""

import threading

import numpy as np
import pytest

from keras_dynamic.serving import Batcher, Unavailable

FOREVER = 1e6  # milliseconds


class Held:
    """A function (images) -> their doubles, that notes each batch and does not end before it is let go."""

    def __init__(self):
        self.batches, self.begun, self.go = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, images):
        self.batches.append(images.tolist())
        self.begun.release()
        assert self.go.acquire(timeout=60)
        return {"double": 2 * images}


def doubles(future):
    return future.result(timeout=60)["double"].tolist()


@pytest.fixture
def held():
    return Held()


def test_images_that_arrive_while_a_batch_runs_become_the_next_one(held):
    with Batcher(held, largest_batch=4, wait_ms=0, queue=8) as batcher:
        first = batcher.submit(np.array([1]))
        assert held.begun.acquire(timeout=60)
        others = [batcher.submit(np.array(images)) for images in ([2, 3], [4], [5, 6])]
        assert batcher.waiting == 5
        for _ in range(3):
            held.go.release()
        assert [doubles(each) for each in (first, *others)] == [[2], [4, 6], [8], [10, 12]]
    assert held.batches == [[1], [2, 3, 4], [5, 6]]  # [5, 6] stay together
    assert batcher.waiting == 0


def test_a_full_batch_does_not_wait(held):
    held.go.release()
    with Batcher(held, largest_batch=3, wait_ms=FOREVER, queue=3) as batcher:
        futures = [batcher.submit(np.array([number])) for number in range(3)]
        assert [doubles(each) for each in futures] == [[0], [2], [4]]
    assert held.batches == [[0, 1, 2]]


def test_a_batch_that_does_not_fill_begins_after_the_wait(held):
    held.go.release()
    with Batcher(held, largest_batch=3, wait_ms=1, queue=3) as batcher:
        assert doubles(batcher.submit(np.array([7]))) == [14]


def test_closing_answers_what_waits_and_takes_no_more(held):
    held.go.release()
    batcher = Batcher(held, largest_batch=3, wait_ms=FOREVER, queue=3)
    future = batcher.submit(np.array([7]))
    batcher.close()
    assert doubles(future) == [14]
    with pytest.raises(Unavailable, match="the batcher is closed"):
        batcher.submit(np.array([8]))
    batcher.close()


def test_a_full_queue(held):
    with Batcher(held, largest_batch=2, wait_ms=0, queue=3) as batcher:
        batcher.submit(np.array([1]))
        assert held.begun.acquire(timeout=60)
        waiting = [batcher.submit(np.array(images)) for images in ([2, 3], [4])]
        with pytest.raises(Unavailable, match="3 images are waiting and 3 may, so that 1 more cannot; try again later"):
            batcher.submit(np.array([5]))
        for _ in range(3):
            held.go.release()
        assert [doubles(each) for each in waiting] == [[4, 6], [8]]


def test_a_failure_is_that_of_its_batch_alone(held):
    def fails_once(images):
        held(images)
        if len(held.batches) == 1:
            raise ZeroDivisionError("first")
        return {"double": 2 * images}

    held.go.release(2)
    with Batcher(fails_once, largest_batch=2, wait_ms=FOREVER, queue=4) as batcher:
        futures = [batcher.submit(np.array([number])) for number in range(4)]
        errors = [each.exception(timeout=60) for each in futures]
        assert [str(error) for error in errors[:2]] == ["first", "first"]
        assert [doubles(each) for each in futures[2:]] == [[4], [6]]


def test_a_cancelled_request_is_not_computed(held):
    with Batcher(held, largest_batch=2, wait_ms=0, queue=4) as batcher:
        batcher.submit(np.array([1]))
        assert held.begun.acquire(timeout=60)
        cancelled, kept = (batcher.submit(np.array([number])) for number in (2, 3))
        assert cancelled.cancel()
        held.go.release(2)
        assert doubles(kept) == [6]
    assert held.batches == [[1], [3]]


@pytest.mark.parametrize("count", [0, 3])
def test_more_than_a_batch_or_nothing(held, count):
    with (
        Batcher(held, largest_batch=2) as batcher,
        pytest.raises(ValueError, match=f"1 to 2 images at a time, got {count}"),
    ):
        batcher.submit(np.zeros(count))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"largest_batch": 0}, "largest_batch must be a whole number of at least 1, got 0"),
        ({"largest_batch": 8, "queue": 7}, "queue must be a whole number of at least 8, got 7"),
        ({"wait_ms": -1}, "wait_ms must be a non-negative number, got -1"),
    ],
)
def test_numbers_that_cannot_be(held, arguments, words):
    with pytest.raises(ValueError, match=words):
        Batcher(held, **arguments)
