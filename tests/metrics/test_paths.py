"""What images' decisions look like."""

import numpy as np
import pytest

from keras_dynamic.metrics import activation_rates, distinct_paths, path_matrix, shuffled, units_run

DECISIONS = {"a": np.array([1, 1, 0, 1.0]), "b": np.array([0, 0, 0, 1.0])}
GROUPS = {"a": np.array([1, 0.0]), "b": np.array([[1, 0], [1, 1.0]])}  # b decides on two groups of channels


def test_activation_rates():
    assert activation_rates(DECISIONS) == {"a": 0.75, "b": 0.25}


def test_distinct_paths():
    assert distinct_paths(DECISIONS) == 3
    assert distinct_paths({}) == 1
    assert distinct_paths({"a": np.ones(5)}) == 1
    assert distinct_paths(GROUPS) == 2


def test_units_run():
    assert units_run(DECISIONS).tolist() == [1, 1, 0, 2]
    assert units_run({}).tolist() == 0


def test_every_group_is_a_column():
    assert path_matrix(GROUPS).tolist() == [[True, True, False], [False, True, True]]
    assert units_run(GROUPS).tolist() == [2, 2]


def test_a_static_network_has_no_paths():
    with pytest.raises(ValueError, match="made of decisions, got none"):
        path_matrix({})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("images", [2, 3, 50])
def test_each_image_gets_all_decisions_of_one_other(seed, images):
    numbers = np.arange(images)
    exchanged = shuffled({"a": numbers, "b": numbers + 100}, seed)
    assert sorted(exchanged["a"]) == numbers.tolist()
    assert (exchanged["a"] != numbers).all()
    assert (exchanged["b"] == exchanged["a"] + 100).all()


def test_the_seed_decides():
    numbers = {"a": np.arange(50)}
    assert (shuffled(numbers, 0)["a"] == shuffled(numbers, 0)["a"]).all()
    assert (shuffled(numbers, 0)["a"] != shuffled(numbers, 1)["a"]).any()


def test_one_image_has_nobody_to_exchange_with():
    with pytest.raises(ValueError, match="two images or more, got 1"):
        shuffled({"a": np.ones(1)}, 0)
