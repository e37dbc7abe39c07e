"""Labels, images and sample weights as users give them: checked, and brought into one form."""

import numpy as np
from keras import ops

_ROUNDING = 1e-2  # of a row of soft labels in float16


def check_classes(count, what):
    """Raises a ValueError unless logits have two classes or more.

    Args:
        count: number of logits per image; None where it is not known.
        what: what needs the classes, the beginning of a sentence.

    Raises:
        ValueError: if there is one logit, as of a binary classifier or a regression.
    """
    if count is not None and count < 2:
        raise ValueError(
            f"{what} needs logits of two classes or more, got {count} per image, as of a binary classifier or a "
            "regression; end a binary classifier in Dense(2), with labels 0 and 1."
        )


def class_numbers(y, classes, images=None) -> np.ndarray:
    """Returns labels as class numbers, an int64 array, [n].

    Args:
        y: class numbers from 0 to classes - 1, [n] or [n, 1] of any number type; or one-hot or soft labels,
            [n, classes], of which the largest counts.
        classes: number of classes.
        images: how many images the labels belong to; None does not compare.

    Raises:
        ValueError: if there is one logit instead of classes, labels are multi-label, no class numbers or out of range,
            or there are not as many as images.
    """
    check_classes(classes, "an accuracy")
    y = np.asarray(y)
    if y.dtype.kind not in "biuf" or (y.shape[1:] not in ((), (1,), (classes,))) or not y.ndim:
        raise ValueError(
            f"labels must be class numbers [n], or one-hot [n, {classes}], got shape {list(y.shape)} of {y.dtype}."
        )
    if images is not None and len(y) != images:
        raise ValueError(f"y must be {images} labels, one per image, got {len(y)}; give those of the images.")
    if y.shape[1:] == (classes,):
        if not ((y >= 0).all() and (np.abs(y.sum(axis=1, dtype=float) - 1) <= _ROUNDING).all()):
            raise ValueError(
                f"one-hot labels [n, {classes}] must sum to 1 for each image, got others, as of a multi-label task or "
                "a regression; give one class per image."
            )
        return y.argmax(axis=1)
    y = y.reshape(-1)
    if y.dtype.kind == "f" and not (np.isfinite(y) & (y == np.floor(y))).all():
        raise ValueError(
            f"labels must be class numbers, whole numbers from 0 to {classes - 1}, got fractions or NaN, as of a "
            "regression; give each image's class."
        )
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(
            f"labels must be class numbers from 0 to {classes - 1}, got some from {y.min():g} to {y.max():g}; "
            "renumber the classes from 0 and leave out images without a class."
        )
    return y.astype(np.int64)


def check_images(x, shape=None):
    """Raises a ValueError if there are no images, some are not finite, or they have another shape than a model takes.

    Args:
        x: images, [n, height, width, channels].
        shape: that a model takes, batch first, as DynamicModel.image_shape; None checks none.

    Raises:
        ValueError: if there are none, one holds NaN or what is infinite in float32, or the shape is another.
    """
    if not len(x):
        raise ValueError("expected held-out or test images, got none; give images [n, height, width, channels].")
    x = np.asarray(x)
    if shape is not None and tuple(x.shape[1:]) != tuple(shape[1:]):
        raise ValueError(
            f"the model takes inputs of shape {list(shape[1:])}, got {list(x.shape[1:])}; resize them, or give the "
            "model a Resizing layer."
        )
    most = np.finfo(np.float32).max  # beyond it numbers are infinite in a network
    # The least and the largest are NaN where any is, and take no copy of the images.
    if x.dtype.kind == "f" and not (-most <= x.min() and x.max() <= most):
        bad = next(index for index, image in enumerate(x) if not (np.abs(image) <= most).all())
        raise ValueError(
            f"images must be finite numbers, got NaN or infinity in image {bad} of {len(x)}; leave it out or repair it."
        )


def mean_over_batch(values, sample_weight=None):
    """Returns the sum of values times sample weights over the number of images, as Keras' losses reduce a batch.

    Args:
        values: float tensor, [batch].
        sample_weight: float tensor, [batch] or [batch, ...], of which each image's mean counts; None for 1 each.

    Returns:
        Scalar tensor.
    """
    if sample_weight is not None:
        weights = ops.cast(sample_weight, values.dtype)
        values = values * ops.mean(ops.reshape(weights, (ops.shape(weights)[0], -1)), axis=1)
    return ops.mean(values)
