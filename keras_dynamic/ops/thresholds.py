"""Confidence thresholds of a sequence of classifiers, fitted on held-out data to budgets or quotas (NumPy)."""

from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.messages import check_number, is_count

_GRID = 4000  # candidate prefixes that the search tries at most; the last threshold is always exact


class Fitted(NamedTuple):
    """Thresholds and what they give on the data they were fitted on."""

    thresholds: np.ndarray  # float32 [stages - 1]; an image continues while its confidence is under its stage's
    accuracy: float  # fraction
    spent: float  # mean cost of an image, in the unit of the costs that were given


def stops(confidences, thresholds):
    """Returns the stage at which each image stops.

    Args:
        confidences: float array, [n, stages - 1] or [n, stages]; a last stage's confidence is not used.
        thresholds: float array, [stages - 1].

    Returns:
        int array [n] in 0..stages-1: the first stage whose confidence is not under its threshold, else the last.
    """
    thresholds = np.asarray(thresholds, np.float32)  # both in the precision of the network's own comparison
    done = np.asarray(confidences, np.float32)[:, : len(thresholds)] >= thresholds
    return np.column_stack([done, np.ones(len(done), bool)]).argmax(axis=1)


def quantile_thresholds(confidences, quantiles):
    """Returns thresholds under which the given share of the images that reach a stage continues.

    Args:
        confidences: float array, [n, stages - 1] or [n, stages].
        quantiles: share in [0, 1] per threshold, of those images that have not stopped before.

    Returns:
        float32 array, [stages - 1]; a share of 1 gives infinity. With no image left it is that of all images.

    Raises:
        ValueError: if a quantile lies outside [0, 1].
    """
    quantiles = np.asarray(quantiles, dtype=float)
    if quantiles.ndim != 1 or not ((quantiles >= 0) & (quantiles <= 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, one per threshold, got {quantiles.tolist()}.")
    confidences = np.asarray(confidences, dtype=np.float32)
    here = np.ones(len(confidences), bool)
    thresholds = []
    for stage, quantile in enumerate(quantiles):
        seen = confidences[here, stage] if here.any() else confidences[:, stage]
        threshold = (
            np.float32(np.inf) if quantile == 1 else np.quantile(seen, quantile, method="higher").astype(np.float32)
        )
        thresholds.append(threshold)
        here &= confidences[:, stage] < threshold
    return np.array(thresholds, np.float32)


def fit_thresholds(confidences, correct, macs, budget=None) -> Fitted:
    """Returns the Fitted thresholds that a budget, or the last stage's accuracy, allows.

    With a budget: among thresholds with mean MACs of at most the budget on these data, those of highest accuracy, ties
    to the cheaper. Without: the cheapest whose accuracy is at least that of the last column of `correct`.

    The last threshold is searched exactly; those before it over quantiles of their confidences, at most 4,000
    combinations in all (so with two thresholds every distinct confidence of 4,000 images is tried).

    Args:
        confidences: float array, [n, stages - 1] or [n, stages], confidence after each stage if it is reached.
        correct: bool or float array, [n, stages], whether the prediction at each stage is correct, or which share of
            it; optionally [n, stages + 1], the last column being the reference that `budget=None` must reach.
        macs: float array, [stages], MACs, or any other cost, of an image that stops at each stage, rising; or
            [n, stages], of each image, where a stage's cost depends on the image.
        budget: mean cost per image, or None.

    Raises:
        ValueError: if the budget lies under the first stage's mean MACs, or no thresholds reach the reference.

    Source: the reference for budgeted classification sweeps one parameter (MSDNet, section 4.2); this searches all.
    """
    correct = np.asarray(correct, dtype=float)
    stages = np.shape(macs)[-1]
    macs = np.broadcast_to(np.asarray(macs, dtype=float), (len(correct), stages))
    confidences = np.asarray(confidences, dtype=np.float32)[:, : stages - 1]
    reference = correct[:, -1].mean()
    correct = correct[:, :stages]
    if budget is not None and not within_budget(macs[:, 0].mean(), budget):
        raise ValueError(
            f"the budget must be at least the first network's {macs[:, 0].mean():,.0f} MACs, got {budget:,.0f}; "
            "raise it or put a cheaper network first."
        )
    if stages == 1:
        return Fitted(np.zeros(0, np.float32), float(correct[:, 0].mean()), float(macs[:, 0].mean()))
    per_stage = max(2, round(_GRID ** (1.0 / (stages - 2)))) if stages > 2 else 0
    best: tuple | None = None

    def consider(accuracy, cost, thresholds):
        nonlocal best
        if budget is not None:
            key, allowed = (accuracy, -cost), within_budget(cost, budget)
        else:
            key, allowed = (-cost, accuracy), accuracy >= reference - 1e-9
        if allowed and (best is None or key > best[0]):
            best = (key, thresholds)

    def search(here, right, spent, prefix):
        stage = len(prefix)
        if stage == stages - 2:
            for threshold, got, paid in _last_threshold(confidences[here, stage], correct[here], macs[here], stage):
                consider((right + got) / len(correct), (spent + paid) / len(correct), prefix + [threshold])
            return
        seen = np.unique(confidences[here, stage])
        if len(seen) > per_stage:
            seen = seen[np.unique(np.linspace(0, len(seen) - 1, per_stage).round().astype(int))]
        for threshold in [*seen, np.float32(np.inf)]:
            go_on = here & (confidences[:, stage] < threshold)
            stop = here & ~go_on
            search(go_on, right + correct[stop, stage].sum(), spent + macs[stop, stage].sum(), prefix + [threshold])

    search(np.ones(len(correct), bool), 0, 0.0, [])
    if best is None:
        raise ValueError(
            f"no thresholds reach the last network's accuracy of {reference:.4f} on these data; give a budget: macs=..."
        )
    thresholds = np.array(best[1], np.float32)
    at = stops(confidences, thresholds)
    rows = np.arange(len(at))
    return Fitted(thresholds, float(correct[rows, at].mean()), float(macs[rows, at].mean()))


def _last_threshold(confidence, correct, macs, stage):
    """Yields (threshold, number right, MACs spent), in rising cost, each more often right than all before it."""
    order = np.argsort(confidence, kind="stable")
    values = confidence[order]
    gain = np.concatenate([[0], np.cumsum(correct[order, stage + 1] - correct[order, stage])])
    dearer = np.concatenate([[0.0], np.cumsum(macs[order, stage + 1] - macs[order, stage])])
    base, cheapest = correct[:, stage].sum(), macs[:, stage].sum()
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, int)
    cuts = np.append(starts, len(values))
    records = np.concatenate([[True], gain[cuts][1:] > np.maximum.accumulate(gain[cuts])[:-1]])
    for going_on in cuts[records]:
        threshold = values[going_on] if going_on < len(values) else np.float32(np.inf)
        yield threshold, base + gain[going_on], cheapest + dearer[going_on]


_QUOTA_ROUNDING = 1e-6  # images; a quota of 0.3 of ten images is three of them
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
    if shares.ndim != 1 or (shares < 0).any() or abs(shares.sum() - 1) > _QUOTA_ROUNDING:
        raise ValueError(f"shares must be numbers of at least 0 that sum to 1, one per exit, got {shares.tolist()}.")
    confidences = np.asarray(confidences, np.float32)
    if not len(confidences):
        raise ValueError("thresholds are fitted on images, got none; give held-out confidences [n, exits].")
    here = np.ones(len(confidences), bool)
    thresholds = []
    for exit_, share in enumerate(shares[:-1]):
        seen = np.sort(confidences[here, exit_])[::-1]
        wanted = min(int(share * len(confidences) + _QUOTA_ROUNDING), len(seen))
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


_ROUNDING = 1e-9  # of the budget; the mean of a thousand times 0.4 is more than 0.4


class Spent(NamedTuple):
    """A number, and what is spent at it."""

    number: float
    spent: Any


def within_budget(spent, budget) -> bool:
    """Returns whether what is spent is no more than a budget, but for rounding.

    Args:
        spent: number, such as a mean over images.
        budget: what may be spent, in the same unit.
    """
    return bool(spent <= budget + _ROUNDING * abs(budget))


def bracket(spent, budget, low, high, halvings) -> tuple[Spent, Spent]:
    """Returns the neighbours between which what is spent passes a budget.

    Args:
        spent: function of a number in [low, high]; it rises, or nearly so.
        budget: what may be spent.
        low: number at which least is spent.
        high: number at which most is spent.
        halvings: how often the range is halved.

    Returns:
        (within, over), two Spent: the first is within the budget and the second is not. Both are `high` if that is
        within the budget, both `low` if not even that is.
    """
    over = Spent(high, spent(high))
    if within_budget(over.spent, budget):
        return over, over
    within = Spent(low, spent(low))
    if not within_budget(within.spent, budget):
        return within, within
    for _ in range(halvings):
        number = (within.number + over.number) / 2
        tried = Spent(number, spent(number))
        within, over = (tried, over) if within_budget(tried.spent, budget) else (within, tried)
    return within, over


BUDGETS = 5  # by default


def budgets_between(least, most, count) -> list[float]:
    """Returns budgets evenly spaced between two, without these: each can be missed both ways.

    Args:
        least: what the first exit costs.
        most: what the last one does.
        count: how many.

    Raises:
        ValueError: if count is no positive whole number.
    """
    if not is_count(count):
        raise ValueError(f"budgets must be how many there are, a positive whole number, got {count!r}.")
    return np.linspace(least, most, count + 2)[1:-1].tolist()


def judged_stops(at, right, spent, exits) -> dict:
    """Returns 'accuracy', 'macs_mean' and 'stops', the share of images that stop at each exit.

    Args:
        at: int array [n], the exit at which each image stops.
        right: bool array [n], whether the prediction there is correct.
        spent: MACs of each image, [n].
        exits: how many there are.
    """
    stops = (np.bincount(at, minlength=exits) / len(at)).tolist()
    return {"accuracy": float(np.mean(right)), "macs_mean": float(np.mean(spent)), "stops": stops}


def kept_budgets(rows) -> dict:
    """Returns how well budgets are kept.

    Args:
        rows: dicts with 'budget' and 'macs_mean'.

    Returns:
        'budgets', the rows, each with 'kept', the MACs spent over the budget; 'budget_error', the largest difference of
        'kept' from 1.
    """
    rows = [{**row, "kept": row["macs_mean"] / row["budget"]} for row in rows]
    return {"budgets": rows, "budget_error": max(abs(row["kept"] - 1) for row in rows)}
