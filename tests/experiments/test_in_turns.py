"""Who is called when."""

import pytest

from keras_dynamic.experiments.jobs import timing as module
from keras_dynamic.experiments.jobs.timing import WARM_UP, interleave


def test_functions_take_turns_and_warm_up_is_not_counted(monkeypatch):
    clock, called = [0.0], []

    def taking(name, *seconds):
        left = list(seconds)

        def function():
            called.append(name)
            clock[0] += left.pop(0)

        return function

    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    times = interleave({"a": taking("a", 9, 9, 1, 2), "b": taking("b", 9, 9, 3, 4)}, rounds=2)
    assert WARM_UP == 2
    assert called == ["a", "b"] * 4
    assert times["a"].tolist() == pytest.approx([1, 2])
    assert times["b"].tolist() == pytest.approx([3, 4])
