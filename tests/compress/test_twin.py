"""The part of the twin's training that needs no environment: at which steps weights are removed."""

import itertools

import pytest

from keras_dynamic.compress.twin import pruning_steps

SHARES = [(0.0, 0.75), (0.0, 0.001), (0.5, 1.0), (0.999, 1.0)]


@pytest.mark.parametrize(("shares", "steps"), itertools.product(SHARES, (1, 2, 7, 110, 4321)))
def test_the_last_removal_is_at_the_end_of_the_schedule(shares, steps):
    begin, end = shares
    first, last, frequency = pruning_steps({"begin": begin, "end": end}, steps)
    assert 0 <= first < last <= steps
    assert (last - first) % frequency == 0
    assert last <= max(first + 1, end * steps + 0.5)
    assert last > end * steps - frequency - 0.5
    assert (last - first) // frequency <= 40
