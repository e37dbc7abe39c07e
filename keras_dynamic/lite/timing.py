"""Times of several models in turn, on the same images."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from keras_dynamic.lite.interpreter import Interpreter

LEAST_IMAGES = 200
LEAST_REPEATS = 5


def check_timed(images: int, repeats: int) -> None:
    """Raises a ValueError if there are too few images, or repeats of each, to tell a latency."""
    if images < LEAST_IMAGES or repeats < LEAST_REPEATS:
        raise ValueError(
            f"a latency needs at least {LEAST_IMAGES} images and {LEAST_REPEATS} repeats, got {images} and {repeats}."
        )


def times_in_turn(
    runners: Mapping[str, Interpreter],
    images: Mapping[str, object],
    repeats: int = LEAST_REPEATS,
    seed: int = 0,
    given: Callable[[str, int], dict] | None = None,
) -> dict[str, np.ndarray]:
    """Measures how long each model takes for each of its images: the median of several runs, all models in turn.

    Args:
        runners: interpreters by name, one thread each.
        images: of each of them, [n, height, width, channels], pixel values 0 to 255; all have n.
        repeats: of each image, at least 5.
        seed: of the order of images.
        given: function (name, row) -> further inputs by name; None if there are none.

    Returns:
        {name: float array [n], milliseconds}.

    Raises:
        ValueError: if there are fewer than 200 images, or too few repeats.
    """
    count = min(len(each) for each in images.values())  # type: ignore[arg-type]
    check_timed(count, repeats)
    times = {name: np.zeros((count, repeats)) for name in runners}
    for row in np.random.default_rng(seed).permutation(count):
        for name, runner in runners.items():
            runner.set(images[name][row], **(given(name, row) if given else {}))  # type: ignore[index]
            runner.invoke()  # not timed: the first run after another model finds cold caches
        for repeat in range(repeats):
            for name, runner in runners.items():
                start = time.perf_counter()
                runner.invoke()
                times[name][row, repeat] = time.perf_counter() - start
    return {name: 1e3 * np.median(value, axis=1) for name, value in times.items()}
