import numpy as np
import pytest

from keras_dynamic.data import hold_out

X = np.arange(20).reshape(10, 2)
Y = np.arange(10)


def test_the_last_images_are_held_out():
    (x, y), (x_held, y_held) = hold_out(X, Y, 3)
    assert y.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert y_held.tolist() == [7, 8, 9]
    assert np.array_equal(x, X[:7])
    assert np.array_equal(x_held, X[7:])


def test_a_seed_draws_them_at_random_with_their_labels():
    (x, y), (x_held, y_held) = hold_out(X, Y, 3, seed=1)
    assert sorted([*y, *y_held]) == Y.tolist()
    assert y_held.tolist() != [7, 8, 9]
    assert np.array_equal(x, X[y])
    assert np.array_equal(x_held, X[y_held])
    assert np.array_equal(y_held, hold_out(X, Y, 3, seed=1)[1][1])
    assert not np.array_equal(y_held, hold_out(X, Y, 3, seed=2)[1][1])


@pytest.mark.parametrize("count", [1, 9])
def test_the_smallest_and_largest_part_work(count):
    (_, y), (_, y_held) = hold_out(X, Y, count)
    assert (len(y), len(y_held)) == (10 - count, count)


@pytest.mark.parametrize("count", [-1, 0, 10, 11])
def test_other_counts_are_refused(count):
    with pytest.raises(ValueError, match=rf"between 1 and 9, .* got {count}\."):
        hold_out(X, Y, count)


def test_labels_of_another_set_are_refused():
    with pytest.raises(ValueError, match="got 9 labels and 10 images"):
        hold_out(X, Y[:9], 3)
