"""Confidence thresholds for a sequence of classifiers, chosen from their answers on held-out data (NumPy)."""

from typing import NamedTuple

import numpy as np

from keras_dynamic.ops.bracket import within_budget

_GRID = 4000  # candidate prefixes that the search tries at most; the last threshold is always exact


class Fitted(NamedTuple):
    """Thresholds and what they give on the data they were fitted on."""

    thresholds: np.ndarray  # float32 [stages - 1]; an image goes on while its confidence is under its stage's
    accuracy: float  # fraction
    macs: float  # mean MACs


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
    """Returns thresholds under which the given share of the images that came so far goes on.

    Args:
        confidences: float array, [n, stages - 1] or [n, stages].
        quantiles: share in [0, 1] per threshold, of those images that have not stopped before.

    Returns:
        float32 array, [stages - 1]; a share of 1 gives infinity. If nobody is left the threshold is that of all images.

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
    """Searches the thresholds that a budget, or the last stage's accuracy, allows.

    With a budget: among thresholds with mean MACs of at most the budget on these data, those of highest accuracy, ties
    to the cheaper. Without: the cheapest whose accuracy is at least that of the last column of `correct`.

    The last threshold is searched exactly; those before it over quantiles of their confidences, at most 4,000
    combinations in all (so with two thresholds every distinct confidence of 4,000 images is tried).

    Args:
        confidences: float array, [n, stages - 1] or [n, stages], confidence after each stage if it is reached.
        correct: bool array, [n, stages], whether the answer given at each stage is right; optionally
            [n, stages + 1], the last column being the reference that `budget=None` must reach.
        macs: float array, [stages], MACs spent by an image that stops at each stage, rising; or [n, stages], by each
            image, where a stage's cost depends on the image.
        budget: mean MACs per image, or None.

    Returns:
        Fitted.

    Raises:
        ValueError: if the budget lies under the first stage's mean MACs, or no thresholds reach the reference.

    Source: the reference for budgeted classification sweeps one parameter (MSDNet, section 4.2); this searches all.
    """
    correct = np.asarray(correct, dtype=bool)
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
            key, allowed = (-cost, accuracy), accuracy >= reference - 1e-12
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
    gain = np.concatenate([[0], np.cumsum(correct[order, stage + 1].astype(int) - correct[order, stage].astype(int))])
    dearer = np.concatenate([[0.0], np.cumsum(macs[order, stage + 1] - macs[order, stage])])
    base, cheapest = int(correct[:, stage].sum()), macs[:, stage].sum()
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, int)
    cuts = np.append(starts, len(values))
    records = np.concatenate([[True], gain[cuts][1:] > np.maximum.accumulate(gain[cuts])[:-1]])
    for going_on in cuts[records]:
        threshold = values[going_on] if going_on < len(values) else np.float32(np.inf)
        yield threshold, base + int(gain[going_on]), cheapest + dearer[going_on]
