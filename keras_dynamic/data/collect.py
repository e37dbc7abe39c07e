"""Images and labels as arrays, from whatever Keras' fit takes."""

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
        ValueError: if a data set comes with labels of its own and y, repeats without an end, or holds no batch.
    """
    if x is None or hasattr(x, "shape") or isinstance(x, (list, tuple)) or not _is_iterable(x):
        return x, y
    if y is not None:
        raise ValueError(f"labels are part of the batches of a {type(x).__name__}, got y too; leave y out.")
    if hasattr(x, "cardinality") and int(x.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("a data set is read once, whole, got one that repeats without an end; leave repeat() out.")
    inputs, labels = [], []
    for batch in batches_of(x):
        several = isinstance(batch, (tuple, list))
        inputs.append(np.asarray(batch[0] if several else batch))
        if several and len(batch) > 1:
            labels.append(np.asarray(batch[1]))
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
    return None if shape is None or len(shape) < 2 else (None, *shape[1:])
