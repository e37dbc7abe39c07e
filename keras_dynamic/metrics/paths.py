"""What images' decisions look like (NumPy)."""

import numpy as np


def activation_rates(decisions) -> dict:
    """Returns {name: share of images for which it runs} for decisions {name: 0/1 array [n]}."""
    return {name: float(np.mean(value)) for name, value in decisions.items()}


def distinct_paths(decisions) -> int:
    """Returns how many different patterns of decisions occur among the images.

    Args:
        decisions: {name: 0/1 array, [n] or [n, groups]}.

    Returns:
        int; 1 if there are no decisions.
    """
    if not decisions:
        return 1
    return len(np.unique(path_matrix(decisions), axis=0))


def path_matrix(decisions) -> np.ndarray:
    """Puts the decisions of each image into one row.

    Args:
        decisions: {name: 0/1 array, [n] or [n, groups]}, at least one.

    Returns:
        bool array [n, columns], in the decisions' order; each group is a column of its own.

    Raises:
        ValueError: if there are no decisions.
    """
    if not decisions:
        raise ValueError("paths are made of decisions, got none; a static network has no paths to compare.")
    columns = [np.round(np.asarray(value)).reshape(len(value), -1) for value in decisions.values()]
    return np.concatenate(columns, axis=1) > 0


def units_run(decisions) -> np.ndarray:
    """Returns how many of the units that can be skipped each image runs.

    Args:
        decisions: {name: 0/1 array, [n] or [n, groups]}; each group counts as a unit.

    Returns:
        int array [n]; 0 if there are no decisions.
    """
    return path_matrix(decisions).sum(axis=1) if decisions else np.zeros((), int)


def shuffled(decisions, seed) -> dict:
    """Gives each image all decisions of one other image.

    Args:
        decisions: {name: 0/1 array [n]}, n at least 2.
        seed: of the permutation, which has no fixed point.

    Returns:
        {name: 0/1 array [n]}.

    Raises:
        ValueError: if there are fewer than two images.
    """
    count = len(next(iter(decisions.values())))
    if count < 2:
        raise ValueError(f"decisions can be exchanged between two images or more, got {count}.")
    cycle = np.random.default_rng(seed).permutation(count)
    source = np.empty(count, int)
    source[cycle] = np.roll(cycle, 1)  # one cycle through all images: nobody keeps its own
    return {name: np.asarray(value)[source] for name, value in decisions.items()}
