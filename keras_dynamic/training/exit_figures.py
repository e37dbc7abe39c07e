"""What the exits of a network are worth: one by one, against one another, and together under budgets."""

import numpy as np

from keras_dynamic.metrics import calibration, rank_correlation
from keras_dynamic.ops import quota_thresholds, quotas, stops
from keras_dynamic.training.evaluate import compiled_outcome
from keras_dynamic.training.exit_answers import exit_answers, exit_macs

POWERS = tuple(k / 20 for k in range(1, 40))  # of the authors' sweep


def exit_figures(model, held_out, test, measure="max_probability", powers=POWERS) -> dict:
    """Measures each exit on the test images, and the curve of accuracy over mean MACs.

    Args:
        model: built DynamicModel with exits.
        held_out: (images, labels) on which the curve's thresholds are fitted; the labels are not used.
        test: (images, labels) to judge on.
        measure: of the confidence by which images stop; calibration is always that of the largest probability.
        powers: p of ops.quotas, one for each point of the curve.

    Returns:
        'exits', a list of {'exit', 'accuracy', 'macs', 'calibration_error', 'calibration'}, the chain's head as the
        last; 'macs' are those of an image that stops there, 'calibration' is a list of [confidence, accuracy, share of
        the images] over 15 bins. 'accuracy_exits_mean', over the exits. 'exit_ranks', a list of {'exits',
        'rank_correlation'} of the confidences of neighbouring exits. 'budgeted', a list of {'p', 'accuracy',
        'macs_mean', 'stops'}, the last being the share of images that stop at each exit.

    Raises:
        ValueError: if the network has no exits, or decides units too.

    Source: IMTA, table 1, figures 2 and 7; MSDNet, section 4.2; Guo et al. 2017 (calibration).
    """
    outcome = compiled_outcome(model)
    x, y = test
    found = exit_answers(model, x, measure, outcome=outcome)
    sure = found if measure == "max_probability" else exit_answers(model, x, outcome=outcome)
    right = found.predictions == np.asarray(y).reshape(-1, 1)
    names, macs = [*model.chain.exit_names, "head"], exit_macs(model)
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
    chosen_on = exit_answers(model, held_out[0], measure, outcome=outcome).confidences
    budgeted = [_under(p, chosen_on, found.confidences, right, np.asarray(macs)) for p in powers]
    mean = float(right.mean())
    return {"exits": rows, "accuracy_exits_mean": mean, "exit_ranks": ranks, "budgeted": budgeted}


def _under(p, held_out, confidences, right, macs):
    """Returns a point of the curve: thresholds from the held-out confidences, judged on the others."""
    at = stops(confidences, quota_thresholds(held_out, quotas(p, len(macs))))
    return {
        "p": p,
        "accuracy": float(right[np.arange(len(at)), at].mean()),
        "macs_mean": float(macs[at].mean()),
        "stops": (np.bincount(at, minlength=len(macs)) / len(at)).tolist(),
    }
