"""Interpreters that threads share: each image gets its own answer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_dynamic import lite

RUNNERS = {
    "Interpreter": lite.Interpreter,
    "MicroInterpreter": lite.MicroInterpreter,
    "Stages": lambda content: lite.Stages(lite.stages(content)),
    "joined Stages": lambda content: lite.Stages(lite.join_stages(lite.stages(content))),
}


@pytest.mark.parametrize("kind", RUNNERS)
def test_threads_that_share_a_runner_get_the_right_answers(kind, stopping_file, images):
    runner = RUNNERS[kind](stopping_file(True, "baked"))

    def answer(number):
        found = runner.run(images[number])
        return found.logits if isinstance(found, lite.Stopped) else found["logits"]

    expected = [answer(number) for number in range(len(images))]
    numbers = np.random.default_rng(0).integers(0, len(images), 2000)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(answer, numbers))
    np.testing.assert_array_equal(np.stack(found), np.stack(expected)[numbers])
