"""Holding out part of the training images."""

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def hold_out(x: np.ndarray, y: np.ndarray, count: int, seed: int | None = None) -> tuple[Pair, Pair]:
    """Splits images into those to train on and those to choose thresholds and models on.

    By default the last `count` images are held out, so that what was fitted on a prefix of the training set has never
    seen them. Where a set is ordered by class, give a seed.

    Args:
        x: images [n, ...].
        y: labels [n, ...].
        count: images to hold out, 1 to n - 1.
        seed: None holds out the last images; an integer holds out images drawn at random with it.

    Returns:
        ((x, y), (x_held, y_held)) with n - count and count images; views of the arguments where seed is None.

    Raises:
        ValueError: count is not between 1 and n - 1, or x and y differ in length.
    """
    n = len(x)
    if len(y) != n:
        raise ValueError(
            f"Expected as many labels as images, got {len(y)} labels and {n} images; pass both of one set."
        )
    if not 1 <= count <= n - 1:
        raise ValueError(
            f"Expected count to be between 1 and {n - 1}, so that some of the {n} images remain, got {count}."
        )
    if seed is not None:
        order = np.random.default_rng(seed).permutation(n)
        x, y = x[order], y[order]
    return (x[: n - count], y[: n - count]), (x[n - count :], y[n - count :])
