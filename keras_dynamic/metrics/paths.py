"""Statistics of decisions: activation rates, distinct paths, rank correlation (NumPy)."""

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
    source[cycle] = np.roll(cycle, 1)  # one cycle through all images: none keeps its own
    return {name: np.asarray(value)[source] for name, value in decisions.items()}


def rank_correlation(first, second) -> float:
    """Returns Spearman's rho: Pearson's correlation of the ranks, equal values sharing the mean of theirs.

    Args:
        first: numbers, [n], n at least 2.
        second: numbers, [n].

    Returns:
        From -1 (one falls as the other rises) to 1 (they rise together); 0 if either is the same everywhere, as then
        nothing is ranked.

    Raises:
        ValueError: if they are no two rows of as many numbers, at least two each, or hold NaN.

    Source: Spearman, The Proof and Measurement of Association between Two Things, 1904.
    """
    rows = [np.asarray(each, float) for each in (first, second)]
    if rows[0].ndim != 1 or rows[0].shape != rows[1].shape or len(rows[0]) < 2:
        shapes = " and ".join(str(list(row.shape)) for row in rows)
        raise ValueError(f"a rank correlation takes two rows of n >= 2 numbers, got shapes {shapes}; give [n] and [n].")
    if np.isnan(rows).any():
        raise ValueError("a rank correlation takes numbers that can be ranked, got NaN; leave those entries out.")
    ranks = [_ranks(row) for row in rows]
    first_off, second_off = (rank - rank.mean() for rank in ranks)
    spread = np.sqrt(np.sum(first_off**2) * np.sum(second_off**2))
    return float(np.sum(first_off * second_off) / spread) if spread else 0.0


def _ranks(values):
    """Returns ranks from 1, of equal values the mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
