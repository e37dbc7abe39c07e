"""Fits thresholds to a budget of MACs or milliseconds, and measures how well budgets are kept."""

import math
from typing import NamedTuple

import numpy as np

from keras_dynamic.cost import budget_of, given, stops_within
from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.evaluation.exits import (
    exit_answers,
    exit_confidence,
    exit_confidence_name,
    exit_labels,
    kept,
    most_at_exits,
    right_at_exits,
    set_tau,
    with_tau,
)
from keras_dynamic.layers.constant_variables import constant_variables
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.metrics import calibration, rank_correlation
from keras_dynamic.models import Cascade
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
    """Thresholds of a network for a budget, and their cost and accuracy on held-out data.

    Attributes:
        spent: mean over the held-out inputs, in the budget's unit.
        thresholds: of its exits or a cascade's networks, float32 array [stages - 1]; None if it has none.
        tau: of its gates or its policy; None if it has neither.
        accuracy: on the held-out data; None without labels.
    """

    spent: float
    thresholds: np.ndarray | None = None
    tau: float | None = None
    accuracy: float | None = None


def fit_budget(
    model, x, y=None, macs=None, ms=None, mj=None, deadline=None, table=None, outcome=None
) -> OperatingPoint:
    """Sets thresholds and tau so that the cost of these inputs is as high as a budget allows, and no higher.

        table = kd.lite.part_times(model, x_held_out)
        kd.evaluation.fit_budget(model, x_held_out, y_held_out, ms=0.4, deadline=1.2, table=table)

    A budget is a mean over inputs, a deadline is a limit for each. Thresholds of exits are those of quotas
    (ops.quotas) on the confidences of these inputs; those of a cascade are the most accurate, see
    Cascade.fit_thresholds. Without exits tau is found by bisection. With both, the thresholds are fitted for a grid of
    tau, and the most accurate pair is taken. For a deadline every input stops at the last exit or network that fits, at
    the latest.

    Args:
        model: Cascade; or built DynamicModel with a Confidence decider for its exits, or a decider with tau (gates, or
            a policy), or both CombinedDecider.
        x: held-out inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        y: labels, see ops.right_answers; needed only by cascades, and where thresholds and tau are fitted together.
        macs: budget, mean MACs per input.
        ms: budget, mean milliseconds per input, with a table of such.
        mj: budget, mean millijoules per input, with a table of such.
        deadline: what no input may cost, in the unit of the table, or in MACs without one; alone or beside one of the
            others.
        table: {part: cost}: what each part of the network costs on a device, see cost.priced, lite.part_times,
            lite.part_energy and lite.read_part_times; or the cost of an input that stops at each exit or network,
            rising, the last one included.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        OperatingPoint, which is set in the model.

    Raises:
        ValueError: if there is no budget or more than one, or nothing to fit; if inputs are missing or not finite; if
            the table or labels are missing or do not fit; if the budget is below the network's least cost; or if there
            is a deadline for gates or a policy, which may run everything. The model stays as it was.

    Source: MSDNet, section 4.2; the quotas are those of the authors' code, see ops.quotas.
    """
    budget = budget_of(macs, ms, mj, deadline, table)
    budget.check_given()
    if isinstance(model, Cascade):
        found = model.fit_thresholds(x, y, macs=macs, ms=ms, mj=mj, deadline=deadline, table=table)
        return OperatingPoint(found.spent, found.thresholds, accuracy=found.accuracy)
    certain, gated = exit_confidence(model), bool(with_tau(model))
    if certain is None and not gated:
        raise ValueError(
            "a budget is kept by the thresholds of a cascade, of a Confidence decider on exits, or by the tau of gates "
            f"or a policy; {type(model.decider).__name__} has none of these here; give DynamicModel(chain, "
            "Confidence())."
        )
    x, y = as_arrays(x, y)
    check_images(x)
    outcome = compiled_outcome(model) if outcome is None else outcome
    if certain is None:
        found = _without_exits(model, x, y, budget, outcome)
    else:
        found = _with_exits(model, certain, x, y, budget, outcome)
        certain.set_thresholds(found.thresholds)
    if found.tau is not None:
        set_tau(model, found.tau)
    return found


def _without_exits(model, x, y, budget, outcome):
    """Returns the OperatingPoint of the tau that bisection finds."""
    if isinstance(budget.table, list):
        raise ValueError(f"a network without exits has no stages, got table={budget.table}; give {{part: cost}}.")
    labels = _labels(model, x, y, needed=False)
    tree = budget.tree(model.cost_tree)
    if budget.deadline is not None and not within_budget(tree.total_macs, budget.deadline):
        raise ValueError(
            f"gates and policies may run everything for some images, which costs {budget.text(tree.total_macs)}, got a "
            f"deadline of {budget.text(budget.deadline)}; give a mean budget, a network with exits, or a cascade."
        )
    if budget.mean is None:
        budget = budget._replace(mean=tree.total_macs)  # everything may run

    def at_tau():
        return evaluate(model, x, labels, outcome=outcome)

    def spent():
        return float(given(tree, at_tau().decisions).mean())

    within, _ = _tau_bracket(model, spent, budget.mean)
    budget.check_least(within.spent)
    if labels is None:
        return OperatingPoint(within.spent, tau=within.number)
    with kept(model):
        set_tau(model, within.number)
        return OperatingPoint(within.spent, tau=within.number, accuracy=float(at_tau().accuracy))


def _with_exits(model, certain, x, y, budget, outcome):
    """Returns the most accurate OperatingPoint, then the cheapest, of a grid of tau, if there is tau."""
    taus = (0.0, *TAUS, 1.0) if with_tau(model) else (None,)
    if with_tau(model) and isinstance(budget.table, list):
        raise ValueError(
            "the cost of stopping at each exit does not include what gates or a policy save, got a table of it; give "
            "{part: cost}."
        )
    labels = _labels(model, x, y, len(taus) > 1)
    stages = budget.stages_within(budget.of_stages(most_at_exits(model, budget.tree)))
    least, points = np.inf, []
    for tau in taus:
        with kept(model):
            if tau is not None:
                set_tau(model, tau)
            answers = exit_answers(model, x, certain.confidence, outcome=outcome, price=budget.tree)
        costs = budget.of_stages(answers.macs)
        least = min(least, costs[:, 0].mean())
        if budget.mean is None or within_budget(costs[:, 0].mean(), budget.mean):
            points.append(_point(tau, answers, costs, labels, budget, stages, certain.lowest))
    budget.check_least(least)
    return max(points, key=lambda point: (point.accuracy or 0.0, -point.spent))


def _point(tau, answers, costs, labels, budget, stages, lowest):
    """Returns the OperatingPoint of the thresholds for a budget, on the images that they are fitted on.

    Of the exits only the first so many `stages` are used: at the last of them all images stop.
    """
    mean = np.inf if budget.mean is None else budget.mean
    thresholds = np.full(costs.shape[1] - 1, lowest, np.float32)
    thresholds[: stages - 1] = budget_thresholds(answers.confidences[:, :stages], costs[:, :stages], mean)
    rows, at = np.arange(len(costs)), stops(answers.confidences, thresholds)
    accuracy = None if labels is None else float((answers.predictions[rows, at] == labels).mean())
    return OperatingPoint(float(costs[rows, at].mean()), thresholds, tau, accuracy)


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


def limit_figures(model, x, y, limits) -> list[dict]:
    """Measures a network of whose images none exceeds a limit, as in a file that takes a budget (lite.export).

    An image stops at the last exit that its limit allows: it goes on after an exit if what it has spent, units and
    groups that it skipped not counted, and the most that it can still spend until it may stop again, is within the
    limit. Thresholds of exits are left out: no image stops before, and as no confidence is compared, an exit's head
    runs for images that stop there alone. Every image runs to the first exit. Groups of channels that a file computes
    together, see export's fold, cost more there.

    Args:
        model: built DynamicModel with a Confidence decider for its exits, alone or combined with others.
        x: inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        y: labels, see ops.right_answers.
        limits: MACs that no image may exceed, one number or several.

    Returns:
        A list of {'limit', 'accuracy', 'macs_mean', 'macs_max', 'over', 'stops'}: the limit, the accuracy, the mean and
        the largest MACs, and the shares of images that are over the limit and that stop at each exit.

    Raises:
        ValueError: as exit_answers, if no Confidence decides the exits, or a limit is no positive number.

    Source: DDI, section 3.2 (RADI under a hard resource constraint).
    """
    certain = exit_confidence(model)
    if certain is None:
        raise ValueError(
            "limits are kept by exits that Confidence decides; give DynamicModel(chain, CombinedDecider([decider, "
            "Confidence()]))."
        )
    limits = limits if isinstance(limits, (list, tuple, np.ndarray)) else [limits]
    limits = [check_number("a limit", limit, positive=True) for limit in limits]
    x, y = as_arrays(x, y)
    found = exit_answers(model, x, certain.confidence)
    right = right_at_exits(found.predictions, exit_labels(model, x, y))
    with kept(model):
        certain.set_thresholds(np.full(len(certain.names), np.inf))
        with constant_variables([certain.thresholds], limited=True):  # no confidence is compared, as in the file
            tree = model.cost_tree
    decisions, exits = {name: found.decisions[name] for name in model.decision_names}, model.chain.exit_names
    rows, places = [], np.arange(len(right))
    for limit in limits:
        at = stops_within(tree, exits, decisions, limit)
        spent = given(tree, {**decisions, **{name: at > place for place, name in enumerate(exits)}})
        judged = judged_stops(at, right[places, at], spent, right.shape[1])
        rows.append({"limit": limit, **judged, "macs_max": int(spent.max()), "over": float((spent > limit).mean())})
    return rows
