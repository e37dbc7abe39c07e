"""How well budgets are kept on images that no threshold has seen."""

import numpy as np

from keras_dynamic.ops import (
    BUDGETS,
    budget_thresholds,
    budgets_between,
    check_images,
    judged_stops,
    kept_budgets,
    stops,
)
from keras_dynamic.training.evaluate import compiled_outcome
from keras_dynamic.training.exit_answers import exit_answers, exit_labels
from keras_dynamic.training.operating_point import exit_measure


def budget_figures(model, held_out, test, budgets=BUDGETS) -> dict:
    """Fits thresholds of exits to budgets on held-out images, and judges them on the test images; the model stays.

    The budgets are evenly spaced between what the first exit costs and what the last one does, without these two: each
    can be missed both ways.

    Args:
        model: built DynamicModel with exits; what units its gates run, if it has any, is as tau says.
        held_out: (images, labels) on which thresholds are fitted; the labels are not used.
        test: (images, labels) to judge on.
        budgets: how many.

    Returns:
        'budgets', a list of {'budget', 'macs_mean', 'kept', 'accuracy', 'thresholds', 'stops'}: the mean MACs per image
        that were allowed, those that the test images spend, the one over the other, the accuracy on them, the
        thresholds, with None where no image can stop, and the share of images that stop at each exit. And
        'budget_error', the largest difference of 'kept' from 1.

    Raises:
        ValueError: as exit_answers and exit_labels, or if budgets is no positive whole number.

    Source: MSDNet, section 4.2 (budgeted batch classification).
    """
    check_images(held_out[0])
    labels = exit_labels(model, *test)
    measure, outcome = exit_measure(model), compiled_outcome(model)
    chosen_on, found = (exit_answers(model, x, measure, outcome=outcome) for x in (held_out[0], test[0]))
    return budget_rows(chosen_on, found, found.predictions == labels, budgets)


def budget_rows(held_out, test, right, budgets) -> dict:
    """Returns what budget_figures does, from answers.

    Args:
        held_out: ExitAnswers on which thresholds are fitted.
        test: ExitAnswers to judge on.
        right: bool array, [n, exits], which of the latter are right.
        budgets: how many.

    Raises:
        ValueError: if budgets is no positive whole number.
    """
    least, most = held_out.macs.mean(axis=0)[[0, -1]]
    rows = []
    for budget in budgets_between(least, most, budgets):
        thresholds = budget_thresholds(held_out.confidences, held_out.macs, budget)
        row = {"budget": budget, **judged(test, right, thresholds)}
        rows.append({**row, "thresholds": [float(each) if np.isfinite(each) else None for each in thresholds]})
    return kept_budgets(rows)


def judged(answers, right, thresholds) -> dict:
    """Returns what images do under thresholds: 'accuracy', 'macs_mean' and 'stops', the share that stops at each exit.

    Args:
        answers: ExitAnswers.
        right: bool array, [n, exits], which of them are right.
        thresholds: one for each exit but the last.
    """
    at = stops(answers.confidences, thresholds)
    rows = np.arange(len(at))
    return judged_stops(at, right[rows, at], answers.macs[rows, at], right.shape[1])
