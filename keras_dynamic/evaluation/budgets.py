"""Fits thresholds to a budget of MACs or milliseconds, and measures how well budgets are kept."""

import math
from typing import NamedTuple

import numpy as np

from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.evaluation.exits import (
    exit_answers,
    exit_confidence,
    exit_confidence_name,
    exit_labels,
    kept,
    right_at_exits,
    set_tau,
    with_tau,
)
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.metrics import calibration, rank_correlation
from keras_dynamic.ops import (
    BUDGETS,
    Spent,
    bracket,
    budget_thresholds,
    budgets_between,
    check_images,
    judged_stops,
    kept_budgets,
    quota_thresholds,
    quotas,
    right_answers,
    stops,
    within_budget,
)

_FARTHEST, _HALVINGS = 12.0, 16  # log odds of the last bracket, and halvings: a precision of 4e-4


def _tau_bracket(model, spent, budget) -> tuple[Spent, Spent]:
    """Returns the two neighbouring tau between which spent() crosses the budget; the network keeps its own tau.

    The bisection is over log odds, so that it is as precise for gates that are nearly always open, or closed.
    """

    def tau(opening):
        return float(opening < 0) if abs(opening) >= _FARTHEST else 1 / (1 + math.exp(opening))

    def at(opening):
        set_tau(model, tau(opening))
        return spent()

    with kept(model):
        within, over = bracket(at, budget, -_FARTHEST, _FARTHEST, _HALVINGS)
    return within._replace(number=tau(within.number)), over._replace(number=tau(over.number))


TAUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def tau_sweep(model, x, y=None, taus=TAUS, outcome=None) -> list[dict]:
    """Measures a network at several thresholds; afterwards it has its own again.

    Batch norm stays as it is, estimated at the network's own threshold.

    Args:
        model: built DynamicModel whose decider compares probabilities with tau: gates, or a policy.
        x: inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        y: labels, see ops.right_answers.
        taus: thresholds, each in [0, 1]; 0 runs everything.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        [{'tau', 'accuracy', 'accuracy_top5' of more than 10 classes, 'macs_mean'}, ...], in the order given.

    Raises:
        ValueError: if a threshold is outside [0, 1] or the decider has none.

    Source: Herrmann et al., section S2.3 and figure 10.
    """
    x, y = as_arrays(x, y)
    outcome = compiled_outcome(model) if outcome is None else outcome
    return [at_tau(model, x, y, tau, outcome) for tau in taus]


def at_tau(model, x, y, tau, outcome) -> dict:
    """Returns the entry of tau_sweep for one threshold."""
    if not with_tau(model):
        raise ValueError(
            f"tau is swept on a decider that has one, which {type(model.decider).__name__} lacks; give a model with "
            "gates or a policy."
        )
    with kept(model):
        set_tau(model, tau)
        found = evaluate(model, x, y, outcome=outcome)
    return {"tau": float(tau), **found.accuracies(), "macs_mean": float(found.macs.mean())}


def fit_usage(model, x, usage, outcome=None) -> float:
    """Sets a decider's tau so that on these images the mean share of units that run is nearest to `usage`.

    fit_budget does the same for a budget of MACs.

    Args:
        model: built DynamicModel whose decider compares probabilities with tau: gates, or a policy.
        x: held-out inputs, [n, ...], or a data set of batches; no labels are needed.
        usage: share of the decided units, in [0, 1].
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        tau.

    Raises:
        ValueError: if usage is outside [0, 1], the decider has no tau, or images are missing or not finite.
    """
    usage = check_fraction("usage", usage)
    if not with_tau(model):
        raise ValueError(
            f"usage is fitted by a decider's tau, which {type(model.decider).__name__} lacks; give a model with gates "
            "or a policy."
        )
    x, _ = as_arrays(x)
    check_images(x)
    outcome = compiled_outcome(model) if outcome is None else outcome
    names = [name for each in with_tau(model) for name in each.names]

    def share():
        decisions = evaluate(model, x, outcome=outcome).decisions
        return float(np.mean([decisions[name] for name in names]))

    nearest = min(_tau_bracket(model, share, usage), key=lambda each: abs(each.spent - usage))
    set_tau(model, nearest.number)
    return nearest.number


class OperatingPoint(NamedTuple):
    """Thresholds of a network for a budget, and their cost and accuracy on held-out images.

    Attributes:
        spent: mean over the held-out images, MACs or milliseconds.
        thresholds: of its exits, float32 array [exits - 1]; None without a Confidence decider.
        tau: of its gates or its policy; None if it has neither.
        accuracy: on the held-out images; None without labels.
    """

    spent: float
    thresholds: np.ndarray | None = None
    tau: float | None = None
    accuracy: float | None = None


def fit_budget(model, x, macs=None, ms=None, milliseconds=None, y=None, outcome=None) -> OperatingPoint:
    """Sets thresholds and tau so that the mean cost of these images is as high as a budget allows, and no higher.

    Thresholds of exits are those of quotas (ops.quotas) on the confidences of these images. Without exits tau is found
    by bisection. With both, the thresholds are fitted for a grid of tau, and the most accurate pair is taken.

    Args:
        model: built DynamicModel with a Confidence decider for its exits, or a decider with tau (gates, or a policy),
            or both CombinedDecider.
        x: held-out inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        macs: budget, mean MACs per image; this or ms.
        ms: budget, mean milliseconds per image, of a network that decides nothing but its exits.
        milliseconds: with ms: the measured time of an image that stops at each exit, [exits], rising; the head's last.
        y: class numbers [n], or one-hot labels [n, classes]; needed only where thresholds and tau are fitted together.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        OperatingPoint, which is set in the model.

    Raises:
        ValueError: if there is not one budget, or nothing to fit; if images are missing or not finite; if milliseconds
            or labels are missing or do not fit; or if the budget is below the network's least cost. The model stays as
            it was.

    Source: MSDNet, section 4.2; the quotas are those of the authors' code, see ops.quotas.
    """
    certain, gated = exit_confidence(model), bool(with_tau(model))
    budget = _budget(macs, ms, milliseconds)
    if certain is None and not gated:
        raise ValueError(
            "a budget is kept by the thresholds of a Confidence decider on exits, or by the tau of gates or a policy; "
            f"{type(model.decider).__name__} has neither here; give DynamicModel(chain, Confidence()), or call a "
            "cascade's own fit_thresholds."
        )
    x, y = as_arrays(x, y)
    check_images(x)
    outcome = compiled_outcome(model) if outcome is None else outcome
    if certain is None:
        found = _without_exits(model, x, y, budget, milliseconds, outcome)
    else:
        found = _with_exits(model, certain, x, y, budget, milliseconds, outcome)
        certain.set_thresholds(found.thresholds)
    if found.tau is not None:
        set_tau(model, found.tau)
    return found


def _budget(macs, ms, milliseconds):
    """Returns the one budget that was given."""
    if (macs is None) == (ms is None):
        raise ValueError(f"a budget is either macs or ms, mean per image, got macs={macs!r} and ms={ms!r}; give one.")
    if (ms is None) != (milliseconds is None):
        raise ValueError(
            "ms and milliseconds, the measured time of an image that stops at each exit, go together, got "
            f"ms={ms!r} and milliseconds={milliseconds!r}; give both, or macs alone."
        )
    return check_number("macs", macs) if ms is None else check_number("ms", ms)


def _check_budget(budget, least, milliseconds):
    """Raises a ValueError if a network's least cost is over the budget."""
    if not within_budget(least, budget):
        unit, digits = ("MACs", 0) if milliseconds is None else ("ms", 3)
        raise ValueError(
            f"the budget must be at least {least:,.{digits}f} {unit} per image, the least that this network can do "
            f"with on these images, got {budget:,.{digits}f}; raise it."
        )


def _without_exits(model, x, y, budget, milliseconds, outcome):
    """Returns the OperatingPoint of the tau that bisection finds."""
    _check_table(milliseconds, model, 1)
    labels = _labels(model, x, y, needed=False)

    def at_tau():
        return evaluate(model, x, labels, outcome=outcome)

    within, _ = _tau_bracket(model, lambda: float(at_tau().macs.mean()), budget)
    _check_budget(budget, within.spent, milliseconds)
    if labels is None:
        return OperatingPoint(within.spent, tau=within.number)
    with kept(model):
        set_tau(model, within.number)
        return OperatingPoint(within.spent, tau=within.number, accuracy=float(at_tau().accuracy))


def _with_exits(model, certain, x, y, budget, milliseconds, outcome):
    """Returns the most accurate OperatingPoint, then the cheapest, of a grid of tau, if there is tau."""
    taus = (0.0, *TAUS, 1.0) if with_tau(model) else (None,)
    _check_table(milliseconds, model, len(model.chain.exit_names) + 1)
    labels = _labels(model, x, y, len(taus) > 1)
    least, points = np.inf, []
    for tau in taus:
        with kept(model):
            if tau is not None:
                set_tau(model, tau)
            answers = exit_answers(model, x, certain.confidence, outcome=outcome)
        costs = np.broadcast_to(answers.macs if milliseconds is None else milliseconds, answers.macs.shape)
        least = min(least, costs[:, 0].mean())
        if within_budget(costs[:, 0].mean(), budget):
            points.append(_point(tau, answers, costs, labels, budget))
    _check_budget(budget, least, milliseconds)
    return max(points, key=lambda point: (point.accuracy or 0.0, -point.spent))


def _point(tau, answers, costs, labels, budget):
    """Returns the OperatingPoint of the thresholds for a budget, on the images that they are fitted on."""
    thresholds = budget_thresholds(answers.confidences, costs, budget)
    rows, at = np.arange(len(costs)), stops(answers.confidences, thresholds)
    accuracy = None if labels is None else float((answers.predictions[rows, at] == labels).mean())
    return OperatingPoint(float(costs[rows, at].mean()), thresholds, tau, accuracy)


def _check_table(milliseconds, model, exits):
    """Raises a ValueError unless milliseconds are None, or one time per exit of a network without tau."""
    if milliseconds is None:
        return
    if with_tau(model):
        raise ValueError(
            "a budget of milliseconds is kept by Confidence alone, as times of exits do not include what gates or "
            "a policy save; give macs."
        )
    table = np.asarray(milliseconds, float)
    if table.shape != (exits,) or not (np.isfinite(table).all() and table[0] > 0 and (np.diff(table) > 0).all()):
        raise ValueError(
            f"milliseconds must be {exits} positive numbers, rising, one per exit and the head's last, got "
            f"{table.tolist()}; measure images that stop at each."
        )


def _labels(model, x, y, needed):
    """Returns the labels as class numbers, int [n], or None if there are none and none are needed."""
    if model.task == "values" and (needed or y is not None):
        raise ValueError(
            "the answers of a regression are neither right nor wrong, so that thresholds are not fitted by accuracy; "
            "leave y out, or fit the thresholds of exits alone."
        )
    if y is None and needed:
        raise ValueError(
            "thresholds of exits and tau are fitted together by accuracy, which needs labels, got none; give y=..."
        )
    return None if y is None else right_answers(y, (len(x), *model.logits_shape[1:]), model.task)


def budget_figures(model, held_out, test, budgets=BUDGETS) -> dict:
    """Fits thresholds of exits to budgets on held-out images and evaluates them on test images; the model is unchanged.

    The budgets are evenly spaced between the costs of the first and the last exit, both excluded.

    Args:
        model: built DynamicModel with exits; its gates, if any, keep their tau.
        held_out: (images, labels) on which thresholds are fitted; the labels are not used.
        test: (images, labels) for the figures.
        budgets: how many.

    Returns:
        'budgets', a list of {'budget', 'macs_mean', 'kept', 'accuracy', 'thresholds', 'stops'}: mean MACs per image
        allowed and spent on the test images, their ratio, accuracy, thresholds (None where no image can stop), and the
        share of images that stop at each exit; and 'budget_error', the largest difference of 'kept' from 1.

    Raises:
        ValueError: as exit_answers and exit_labels, or if budgets is no positive whole number.

    Source: MSDNet, section 4.2 (budgeted batch classification).
    """
    check_images(held_out[0])
    labels = exit_labels(model, *test)
    measure, outcome = exit_confidence_name(model), compiled_outcome(model)
    chosen_on, found = (exit_answers(model, x, measure, outcome=outcome) for x in (held_out[0], test[0]))
    return budget_rows(chosen_on, found, right_at_exits(found.predictions, labels), budgets)


def budget_rows(held_out, test, right, budgets) -> dict:
    """Returns budget_figures from two ExitAnswers; right, bool [n, exits]: which of the test answers are correct."""
    least, most = held_out.macs.mean(axis=0)[[0, -1]]
    rows = []
    for budget in budgets_between(least, most, budgets):
        thresholds = budget_thresholds(held_out.confidences, held_out.macs, budget)
        row = {"budget": budget, **_stopped(test, right, thresholds)}
        rows.append({**row, "thresholds": [float(each) if np.isfinite(each) else None for each in thresholds]})
    return kept_budgets(rows)


def _stopped(answers, right, thresholds) -> dict:
    """Returns 'accuracy', 'macs_mean' and 'stops' (share of each exit) of ExitAnswers under thresholds."""
    at = stops(answers.confidences, thresholds)
    rows = np.arange(len(at))
    return judged_stops(at, right[rows, at], answers.macs[rows, at], right.shape[1])


POWERS = tuple(k / 20 for k in range(1, 40))  # of the authors' sweep


def exit_figures(model, held_out, test, confidence=None, powers=POWERS, budgets=BUDGETS) -> dict:
    """Returns figures of each exit on the test images, and the curve of accuracy over mean MACs.

    Args:
        model: built DynamicModel with exits.
        held_out: (images, labels) on which the curve's thresholds are fitted; the labels are not used.
        test: (images, labels) for the figures.
        confidence: by which images stop; None for that of the model's Confidence, or for
            'max_probability' if it has none. Calibration is always that of the largest probability.
        powers: p of ops.quotas, one for each point of the curve.
        budgets: how many, as for budget_figures.

    Returns:
        'exits', a list of {'exit', 'accuracy', 'macs', 'calibration_error', 'calibration'}, the chain's head as the
        last: 'macs' is the mean if all images stop there, 'calibration' a list of [confidence, accuracy, share of the
        images] over 15 bins. 'accuracy_exits_mean', over the exits. 'exit_ranks', a list of {'exits',
        'rank_correlation'} of the confidences of neighbouring exits. 'budgeted', a list of {'p', 'accuracy',
        'macs_mean', 'stops'}, with the share of images that stop at each exit. And all of budget_figures.

    Raises:
        ValueError: as exit_answers and exit_labels, or if budgets is no positive whole number.

    Source: IMTA, table 1, figures 2 and 7; MSDNet, section 4.2; Guo et al. 2017 (calibration).
    """
    outcome, confidence = compiled_outcome(model), exit_confidence_name(model) if confidence is None else confidence
    x, labels = test[0], exit_labels(model, *test)
    found = exit_answers(model, x, confidence, outcome=outcome)
    sure = found if confidence == "max_probability" else exit_answers(model, x, outcome=outcome)
    right = right_at_exits(found.predictions, labels)
    names, macs = [*model.chain.exit_names, "head"], found.macs.mean(axis=0).tolist()
    rows = []
    for k, name in enumerate(names):
        error, *bins = calibration(sure.confidences[:, k], right[:, k])
        row = {"exit": name, "accuracy": float(right[:, k].mean()), "macs": macs[k], "calibration_error": error}
        rows.append({**row, "calibration": [list(each) for each in zip(*bins, strict=True)]})
    ranks = [
        {
            "exits": [names[k], names[k + 1]],
            "rank_correlation": rank_correlation(found.confidences[:, k], found.confidences[:, k + 1]),
        }
        for k in range(len(names) - 1)
    ]
    chosen_on = exit_answers(model, held_out[0], confidence, outcome=outcome)
    budgeted = [
        {"p": p, **_stopped(found, right, quota_thresholds(chosen_on.confidences, quotas(p, len(names))))}
        for p in powers
    ]
    mean = float(right.mean())
    curves = {"budgeted": budgeted, **budget_rows(chosen_on, found, right, budgets)}
    return {"exits": rows, "accuracy_exits_mean": mean, "exit_ranks": ranks, **curves}
