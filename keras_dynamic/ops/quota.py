"""Thresholds that let a given share of the images stop at each exit: the budgeted curve of the papers (NumPy)."""

import numpy as np

from keras_dynamic.messages import check_number
from keras_dynamic.ops.bracket import bracket, within_budget
from keras_dynamic.ops.thresholds import stops

_ROUNDING = 1e-6  # images; a quota of 0.3 of ten images is three of them
_FLATTEST, _HALVINGS = 12.0, 60  # budgets are searched with p from 1e-12, all stop at once, to 1e12, all go to the end


def quotas(p, exits):
    """Returns the share of the images that is to stop at each exit, proportional to p^k at exit k.

    Args:
        p: positive; under 1 most images stop early, above 1 late.
        exits: how many there are, the deepest included.

    Returns:
        float64 array, [exits], of sum 1.

    Raises:
        ValueError: if p is not positive.

    Source: MSDNet, section 4.2, as in the authors' code.
    """
    logarithms = np.log(check_number("p", p, positive=True)) * np.arange(1, exits + 1)
    powers = np.exp(logarithms - logarithms.max())
    return powers / powers.sum()


def quota_thresholds(confidences, shares):
    """Returns the thresholds at which each exit's quota of the images stops: the most confident of those that came.

    Args:
        confidences: float array, [n, exits - 1] or [n, exits]; a last exit's confidence is not used.
        shares: of all n images, per exit, as quotas gives them; the last is what is left over.

    Returns:
        float32 array, [exits - 1]; infinite where the quota is under one image. Equal confidences stop together.

    Raises:
        ValueError: if there are no images, or shares are no shares of one whole.

    Source: MSDNet, section 4.2, as in the authors' code.
    """
    shares = np.asarray(shares, float)
    if shares.ndim != 1 or (shares < 0).any() or abs(shares.sum() - 1) > _ROUNDING:
        raise ValueError(f"shares must be numbers of at least 0 that sum to 1, one per exit, got {shares.tolist()}.")
    confidences = np.asarray(confidences, np.float32)
    if not len(confidences):
        raise ValueError("thresholds are fitted on images, got none; give held-out confidences [n, exits].")
    here = np.ones(len(confidences), bool)
    thresholds = []
    for exit_, share in enumerate(shares[:-1]):
        seen = np.sort(confidences[here, exit_])[::-1]
        wanted = min(int(share * len(confidences) + _ROUNDING), len(seen))
        thresholds.append(seen[wanted - 1] if wanted else np.float32(np.inf))
        here &= confidences[:, exit_] < thresholds[-1]
    return np.array(thresholds, np.float32)


def budget_thresholds(confidences, costs, budget):
    """Returns the quota thresholds that spend most, but on these images no more than a budget.

    Args:
        confidences: float array, [n, exits - 1] or [n, exits].
        costs: float array, what an image costs that stops at each exit, in MACs or any other unit, rising: [exits], or
            [n, exits] where it depends on the image.
        budget: mean cost per image.

    Returns:
        float32 array, [exits - 1].

    Raises:
        ValueError: if there are no images, or the budget lies under what the first exit costs.
    """
    costs, rows = np.asarray(costs, float), np.arange(len(confidences))
    each = np.broadcast_to(costs, (len(rows), costs.shape[-1]))

    def thresholds(exponent):
        return quota_thresholds(confidences, quotas(10.0**exponent, costs.shape[-1]))

    def spent(exponent):
        return each[rows, stops(confidences, thresholds(exponent))].mean()

    within, _ = bracket(spent, budget, -_FLATTEST, _FLATTEST, _HALVINGS)
    if not within_budget(within.spent, budget):
        raise ValueError(
            f"the budget must be at least the first exit's cost of {within.spent:,.10g}, got {budget:,.10g}; raise it."
        )
    return thresholds(within.number)
