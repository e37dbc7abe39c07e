"""Images and labels as arrays, from whatever Keras' fit takes."""

import os

import keras
import numpy as np


def as_arrays(x, y=None):
    """Returns inputs and labels as arrays, of a tf.data.Dataset, keras.utils.PyDataset or other iterable of batches.

    Args:
        x: array or tensor [n, ...], or list of such, which are returned as they are; or an iterable of batches, each
            the inputs [batch, ...] or a tuple (inputs, labels, ...). It is read once, whole, into memory.
        y: labels, if x is an array.

    Returns:
        (inputs, labels), labels None if there are none.

    Raises:
        ValueError: if x is a dictionary or a path, a data set comes with labels of its own and y, repeats without an
            end, is not batched, has several inputs, or holds no batch.
    """
    if isinstance(x, (dict, str, os.PathLike)):
        what = "a dictionary" if isinstance(x, dict) else repr(x)
        raise ValueError(f"expected an array of inputs, or an iterable of batches, got {what}; give the inputs alone.")
    if x is None or hasattr(x, "shape") or isinstance(x, (list, tuple)) or not _is_iterable(x):
        return x, y
    if y is not None:
        raise ValueError(f"labels are part of the batches of a {type(x).__name__}, got y too; leave y out.")
    if hasattr(x, "cardinality") and int(x.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("a data set is read once, whole, got one that repeats without an end; leave repeat() out.")
    inputs, labels = [], []
    for batch in batches_of(x):
        several = isinstance(batch, (tuple, list))
        first = batch[0] if several else batch
        if isinstance(first, (dict, tuple, list)):
            raise ValueError(f"expected batches with one array of inputs, got a {type(first).__name__} of several.")
        inputs.append(np.asarray(first))
        if several and len(batch) > 1:
            labels.append(np.asarray(batch[1]))
        if inputs[-1].ndim < 2 or (labels and labels[-1].ndim < 1):
            raise ValueError("expected batches of inputs, got single ones; call batch(...) on the data set first.")
    if not inputs:
        raise ValueError(f"expected batches, got a {type(x).__name__} without any.")
    return np.concatenate(inputs), np.concatenate(labels) if labels else None


def _is_iterable(x):
    return isinstance(x, keras.utils.PyDataset) or hasattr(x, "__iter__")


def batches_of(x):
    """Returns an iterator over the batches of a tf.data.Dataset, a keras.utils.PyDataset, once, or another iterable."""
    if isinstance(x, keras.utils.PyDataset):
        return (x[index] for index in range(len(x)))
    return x.as_numpy_iterator() if hasattr(x, "as_numpy_iterator") else iter(x)


def input_shape_of(x):
    """Returns the shape of one batch of what fit is given, its first size None; None if it cannot be seen.

    Args:
        x: as of as_arrays, but for a plain iterator, of which a batch would be lost.
    """
    if isinstance(x, keras.utils.PyDataset):
        first = x[0]
        x = first[0] if isinstance(first, (tuple, list)) else first
    elif hasattr(x, "element_spec"):
        x = x.element_spec[0] if isinstance(x.element_spec, (tuple, list)) else x.element_spec
    shape = getattr(x, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None or len(shape) < 2:  # a tf.TensorShape may have no rank
        return None
    return (None, *shape[1:])
