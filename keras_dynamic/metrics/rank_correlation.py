"""Whether two quantities rise together (NumPy)."""

import numpy as np


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
