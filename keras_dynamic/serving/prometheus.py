"""Counters and histograms in the text form that Prometheus reads."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence


class Count:
    """A number that only grows, one for each value of a label, or one alone.

    Args:
        name: of the metric, which ends in _total.
        meaning: one sentence.
        label: its name; None for none.
    """

    def __init__(self, name: str, meaning: str, label: str | None = None):
        self._name, self._meaning, self._label = name, meaning, label
        self._values: Counter[str] = Counter({} if label else {"": 0})
        self._lock = threading.Lock()

    def add(self, amount: int = 1, value: str = "") -> None:
        """Adds an amount, of the label's value."""
        with self._lock:
            self._values[value] += amount

    def lines(self) -> list[str]:
        """Returns the metric's lines."""
        with self._lock:
            values = sorted(self._values.items())
        label = self._label
        each = [f"{self._name}{_labelled(label, value) if label else ''} {count}" for value, count in values]
        return [*_head(self._name, self._meaning, "counter"), *each]


class Histogram:
    """How many numbers were at most each of some bounds, with their sum.

    Args:
        name: of the metric.
        meaning: one sentence.
        bounds: ascending; infinity is added.
    """

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]):
        self._name, self._meaning, self._bounds = name, meaning, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, number: float) -> None:
        """Adds a number."""
        with self._lock:
            self._counts[bisect_left(self._bounds, number)] += 1
            self._sum += number

    def lines(self) -> list[str]:
        """Returns the metric's lines."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        below = [sum(counts[: place + 1]) for place in range(len(counts))]
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        buckets = (f"{self._name}_bucket{_labelled('le', at)} {n}" for at, n in zip(bounds, below, strict=True))
        ends = [f"{self._name}_sum {total}", f"{self._name}_count {below[-1]}"]
        return [*_head(self._name, self._meaning, "histogram"), *buckets, *ends]


def gauge(name: str, meaning: str, value: float) -> list[str]:
    """Returns the lines of a metric that rises and falls."""
    return [*_head(name, meaning, "gauge"), f"{name} {value:g}"]


def _head(name, meaning, kind):
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _labelled(label, value):
    return f'{{{label}="{value}"}}'
