"""What the exits of a network are worth: one by one, against one another, and together under budgets."""

from keras_dynamic.metrics import calibration, rank_correlation
from keras_dynamic.ops import BUDGETS, quota_thresholds, quotas
from keras_dynamic.training.budget_figures import budget_rows, judged
from keras_dynamic.training.evaluate import compiled_outcome
from keras_dynamic.training.exit_answers import exit_answers, exit_labels
from keras_dynamic.training.operating_point import exit_measure

POWERS = tuple(k / 20 for k in range(1, 40))  # of the authors' sweep


def exit_figures(model, held_out, test, measure=None, powers=POWERS, budgets=BUDGETS) -> dict:
    """Measures each exit on the test images, and the curve of accuracy over mean MACs.

    Args:
        model: built DynamicModel with exits.
        held_out: (images, labels) on which the curve's thresholds are fitted; the labels are not used.
        test: (images, labels) to judge on.
        measure: of the confidence by which images stop; None for that of the model's Confidence, or for
            'max_probability' if it has none. Calibration is always that of the largest probability.
        powers: p of ops.quotas, one for each point of the curve.
        budgets: how many, as for budget_figures.

    Returns:
        'exits', a list of {'exit', 'accuracy', 'macs', 'calibration_error', 'calibration'}, the chain's head as the
        last; 'macs' are the mean over all images, had each stopped there, 'calibration' is a list of [confidence,
        accuracy, share of the images] over 15 bins. 'accuracy_exits_mean', over the exits. 'exit_ranks', a list of
        {'exits', 'rank_correlation'} of the confidences of neighbouring exits. 'budgeted', a list of {'p', 'accuracy',
        'macs_mean', 'stops'}, the last being the share of images that stop at each exit. And what budget_figures gives.

    Raises:
        ValueError: as exit_answers and exit_labels, or if budgets is no positive whole number.

    Source: IMTA, table 1, figures 2 and 7; MSDNet, section 4.2; Guo et al. 2017 (calibration).
    """
    outcome, measure = compiled_outcome(model), exit_measure(model) if measure is None else measure
    x, labels = test[0], exit_labels(model, *test)
    found = exit_answers(model, x, measure, outcome=outcome)
    sure = found if measure == "max_probability" else exit_answers(model, x, outcome=outcome)
    right = found.predictions == labels
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
    chosen_on = exit_answers(model, held_out[0], measure, outcome=outcome)
    budgeted = [
        {"p": p, **judged(found, right, quota_thresholds(chosen_on.confidences, quotas(p, len(names))))} for p in powers
    ]
    mean = float(right.mean())
    curves = {"budgeted": budgeted, **budget_rows(chosen_on, found, right, budgets)}
    return {"exits": rows, "accuracy_exits_mean": mean, "exit_ranks": ranks, **curves}
