"""Tests of whether a risk is at most what is allowed, from a sample of images (NumPy)."""

import functools

import numpy as np

_GRID = 5  # values of the unknown share of images that gain
_ERROR = 0.001  # probability that the share of images that differ lies over its confidence interval


def share_p_value(count, images, risk) -> float:
    """Returns the p-value of the hypothesis that more than a share of all images is affected.

    Args:
        count: images of the sample that are affected.
        images: of the sample.
        risk: the share, in (0, 1).

    Returns:
        The probability of so few, or fewer, were the share exactly `risk`: an exact binomial tail.

    Source: Angelopoulos et al., Learn then Test (arXiv 2110.01052), section 2; the exact tail of a binomial.
    """
    return float(_binomial_tails(np.array([images]), np.array([count]), risk)[0])


def excess_p_value(lost, gained, images, risk) -> float:
    """Returns the p-value of the hypothesis that a network's error exceeds another's by more than a risk.

    Only images that one of them gets right and the other wrong tell them apart. Their share is unknown, and the more of
    them there are the larger the tail is: it is taken where it is largest within a confidence interval for that share,
    and the interval's own error is added (Berger and Boos).

    Args:
        lost: images of the sample that only the other network gets right.
        gained: images that only this one gets right.
        images: of the sample.
        risk: the excess, in (0, 1).

    Returns:
        A number in (0, 1]; over all samples it is at most p with probability at most p, if the excess is `risk` or
        more.

    Source: Berger and Boos, P values maximized over a confidence set for the nuisance parameter (JASA 89, 1994).
    """
    most = _upper_limit(lost + gained, images, _ERROR)
    shares = np.linspace(0.0, max((most - risk) / 2, 0.0), _GRID)  # of images that gain
    tails = [_excess_tail(lost - gained, images, share + risk, share) for share in shares]
    return float(min(1.0, max(tails) + _ERROR))


def images_needed(risk, delta) -> int:
    """Returns how many images it takes at least to show that a share is at most `risk`, with none of them affected.

    Args:
        risk: in (0, 1).
        delta: probability of a wrong promise, in (0, 1).
    """
    return int(np.ceil(np.log(delta) / np.log1p(-risk)))


@functools.lru_cache(maxsize=8)
def _log_factorials(count) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])


def _binomial_tails(trials, most, chance) -> np.ndarray:
    """Returns P(X <= most) of binomial variables X of several numbers of trials and one chance."""
    trials, most = np.asarray(trials), np.asarray(most)
    factorials = _log_factorials(int(trials.max(initial=0)))
    successes = np.arange(int(most.max(initial=-1)) + 1)
    n, k = trials[:, None], np.minimum(successes, trials[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        each = factorials[n] - factorials[k] - factorials[n - k]
        each = each + _times(k, np.log(chance)) + _times(n - k, np.log1p(-chance))
    counted = (successes <= most[:, None]) & (successes <= n)
    return np.minimum(np.where(counted, np.exp(each), 0.0).sum(axis=1), 1.0)


def _times(count, logarithm):
    """Returns count * logarithm, 0 for a count of 0 even where the logarithm is infinite."""
    return np.where(count > 0, count * logarithm, 0.0)


def _excess_tail(difference, images, losing, gaining) -> float:
    """Returns P(images that lose - images that gain <= difference), given the share of each."""
    differing = losing + gaining
    if differing >= 1:
        return 1.0
    spread = 8 * np.sqrt(images * differing * (1 - differing)) + 8
    low, high = max(0, int(images * differing - spread)), min(images, int(images * differing + spread) + 1)
    counts = np.arange(low, high + 1)  # of images that differ; the others are rarer than rounding
    factorials = _log_factorials(images)
    logarithms = factorials[images] - factorials[counts] - factorials[images - counts]
    logarithms = logarithms + _times(counts, np.log(differing)) + (images - counts) * np.log1p(-differing)
    most = (counts + difference) // 2  # of those that lose
    tails = _binomial_tails(counts, np.minimum(most, counts), losing / differing)
    return float((np.exp(logarithms) * np.where(most < 0, 0.0, tails)).sum())


def _upper_limit(count, images, error) -> float:
    """Returns the Clopper-Pearson upper limit of a share, which lies over it with probability `error` at most."""
    if count >= images:
        return 1.0
    low, high = count / images, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_p_value(count, images, middle) > error else (low, middle)
    return high
