"""One trained network, any budget: the thresholds and the tau at which a given mean of MACs or time is spent."""

from typing import NamedTuple

import numpy as np

from keras_dynamic.messages import check_number
from keras_dynamic.ops import budget_thresholds, check_images, class_numbers, stops, within_budget
from keras_dynamic.training.evaluate import compiled_outcome, evaluate
from keras_dynamic.training.exit_answers import exit_answers
from keras_dynamic.training.operating_point import exit_confidence, kept, set_tau, with_tau
from keras_dynamic.training.tau_bracket import tau_bracket
from keras_dynamic.training.tau_sweep import TAUS


class OperatingPoint(NamedTuple):
    """Where a budget puts a network.

    Attributes:
        spent: mean over the held-out images, MACs or milliseconds.
        thresholds: of its exits, float32 array [exits - 1]; None where confidence decides none.
        tau: of its gates or its policy; None where it has none.
        accuracy: on the held-out images; None where no labels were given.
    """

    spent: float
    thresholds: np.ndarray | None = None
    tau: float | None = None
    accuracy: float | None = None


def fit_budget(model, x, macs=None, ms=None, milliseconds=None, y=None, outcome=None) -> OperatingPoint:
    """Sets thresholds and tau so that these images spend as much of a budget as they can, on average, and no more.

    Every setting gives what each image costs if it stops at each exit, and how sure it is there. Thresholds are those
    of quotas: which images go on. Without exits there is one way to stop, at the end, and tau is found by halving.
    Where a network has both, the thresholds are found at a grid of tau, and the most accurate pair is taken.

    Args:
        model: built DynamicModel with a Confidence decider for its exits, or a decider with tau (gates, or a policy),
            or both Joined.
        x: held-out images, [n, height, width, channels].
        macs: budget, mean MACs per image; this or ms.
        ms: budget, mean milliseconds per image, of a network that decides nothing but its exits.
        milliseconds: with ms: the measured time of an image that stops at each exit, [exits], rising; the head's last.
        y: class numbers [n], or one-hot labels [n, classes]; needed only where thresholds and tau are fitted together.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        OperatingPoint, which the model now has.

    Raises:
        ValueError: if there is not one budget, or nothing to fit; if images are missing or not finite; if milliseconds
            or labels are missing or do not fit; or if the budget is less than the network can do with. The model stays
            as it was.

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
    """Raises a ValueError if the least that a network can do with is more than the budget."""
    if not within_budget(least, budget):
        unit, digits = ("MACs", 0) if milliseconds is None else ("ms", 3)
        raise ValueError(
            f"the budget must be at least {least:,.{digits}f} {unit} per image, the least that this network can do "
            f"with on these images, got {budget:,.{digits}f}; raise it."
        )


def _without_exits(model, x, y, budget, milliseconds, outcome):
    """Finds tau by halving."""
    _check_table(milliseconds, model, 1)
    labels = _labels(model, x, y, needed=False)

    def at_tau():
        return evaluate(model, x, labels, outcome=outcome)

    within, _ = tau_bracket(model, lambda: float(at_tau().macs.mean()), budget)
    _check_budget(budget, within.spent, milliseconds)
    if labels is None:
        return OperatingPoint(within.spent, tau=within.number)
    with kept(model):
        set_tau(model, within.number)
        return OperatingPoint(within.spent, tau=within.number, accuracy=float(at_tau().accuracy))


def _with_exits(model, certain, x, y, budget, milliseconds, outcome):
    """Finds thresholds, at every tau of a grid if there is tau; of several the most accurate, then the cheapest."""
    taus = (0.0, *TAUS, 1.0) if with_tau(model) else (None,)
    _check_table(milliseconds, model, len(model.chain.exit_names) + 1)
    labels = _labels(model, x, y, len(taus) > 1)
    least, points = np.inf, []
    for tau in taus:
        with kept(model):
            if tau is not None:
                set_tau(model, tau)
            answers = exit_answers(model, x, certain.measure, outcome=outcome)
        costs = np.broadcast_to(answers.macs if milliseconds is None else milliseconds, answers.macs.shape)
        least = min(least, costs[:, 0].mean())
        if within_budget(costs[:, 0].mean(), budget):
            points.append(_point(tau, answers, costs, labels, budget))
    _check_budget(budget, least, milliseconds)
    return max(points, key=lambda point: (point.accuracy or 0.0, -point.spent))


def _point(tau, answers, costs, labels, budget):
    """Returns what the thresholds for a budget give on the images that they are fitted on."""
    thresholds = budget_thresholds(answers.confidences, costs, budget)
    rows, at = np.arange(len(costs)), stops(answers.confidences, thresholds)
    accuracy = None if labels is None else float((answers.predictions[rows, at] == labels).mean())
    return OperatingPoint(float(costs[rows, at].mean()), thresholds, tau, accuracy)


def _check_table(milliseconds, model, exits):
    """Raises a ValueError unless milliseconds are None, or a time for each exit of a network that decides no more."""
    if milliseconds is None:
        return
    if with_tau(model):
        raise ValueError(
            "a budget of milliseconds is kept by Confidence alone, as the times of exits do not tell what gates or a "
            "policy save; give macs."
        )
    table = np.asarray(milliseconds, float)
    if table.shape != (exits,) or not (np.isfinite(table).all() and table[0] > 0 and (np.diff(table) > 0).all()):
        raise ValueError(
            f"milliseconds must be {exits} positive numbers, rising, one per exit and the head's last, got "
            f"{table.tolist()}; measure images that stop at each."
        )


def _labels(model, x, y, needed):
    """Returns the labels as class numbers, int [n], or None if there are none and none are needed."""
    if y is None and needed:
        raise ValueError(
            "thresholds of exits and tau are fitted together by accuracy, which needs labels, got none; give y=..."
        )
    return None if y is None else class_numbers(y, model.classes, len(x))
