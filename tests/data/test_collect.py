"""Arrays from what fit takes."""

import keras
import numpy as np
import pytest

from keras_dynamic.data import as_arrays
from keras_dynamic.data.collect import input_shape_of

X, Y = np.arange(24, dtype=np.float32).reshape(6, 2, 2), np.arange(6)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(3 * index, 3 * index + 3)
        return X[rows], Y[rows]


def dataset(*parts):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: dataset(X, Y).batch(4),
        Batches,
        lambda: ((X[k : k + 2], Y[k : k + 2]) for k in (0, 2, 4)),
        lambda: (keras.ops.convert_to_tensor(X[k : k + 2]) for k in (0, 2, 4)),
        lambda: dataset(X).batch(4),
    ],
)
def test_batches_are_joined(make):
    x, y = as_arrays(make())
    np.testing.assert_array_equal(x, X)
    if y is not None:
        np.testing.assert_array_equal(y, Y)


def test_arrays_stay_as_they_are():
    assert as_arrays(X, Y)[0] is X
    assert as_arrays([1, 2], Y)[1] is Y
    assert as_arrays(None) == (None, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (dataset(X, Y).batch(4), Y), "labels are part of the batches of a .*Dataset, got y too"),
        (lambda: (dataset(X, Y).batch(4).repeat(), None), "repeats without an end; leave repeat"),
        (lambda: (iter(()), None), "expected batches, got a tuple_iterator without any"),
    ],
)
def test_what_cannot_be_is_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        as_arrays(*make())


def test_the_shape_of_an_input():
    assert input_shape_of(X) == (None, 2, 2)
    assert input_shape_of(Batches()) == (None, 2, 2)
    assert input_shape_of(dataset(X, Y).batch(4)) == (None, 2, 2)
    assert input_shape_of(iter([X])) is None
