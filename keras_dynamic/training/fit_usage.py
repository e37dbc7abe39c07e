"""One trained network, many operating points: the threshold at which a given share of units runs."""

import numpy as np

from keras_dynamic.messages import check_fraction
from keras_dynamic.training.evaluate import compiled_outcome, evaluate

_HALVINGS = 12  # tau to 1/4096


def fit_usage(model, x, usage, outcome=None) -> float:
    """Sets a decider's tau so that on these images the mean share of units that run comes nearest to `usage`.

    Args:
        model: built DynamicModel whose decider compares probabilities with tau: gates, or a policy.
        x: held-out images, [n, height, width, channels]; no labels are needed.
        usage: share of the decided units, in [0, 1].
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        tau.

    Raises:
        ValueError: if usage is outside [0, 1] or the decider has no tau.
    """
    usage = check_fraction("usage", usage)
    if not hasattr(model.decider, "set_tau"):
        raise ValueError(
            f"usage is fitted by a decider's tau, which {type(model.decider).__name__} lacks; give a model with gates "
            "or a policy."
        )
    outcome = compiled_outcome(model) if outcome is None else outcome
    labels, names = np.zeros(len(x), int), list(model.decider.names)
    low, high, tried = 0.0, 1.0, []
    for _ in range(_HALVINGS):
        tau = (low + high) / 2
        model.decider.set_tau(tau)
        decisions = evaluate(model, x, labels, outcome=outcome).decisions
        share = float(np.mean([decisions[name] for name in names]))
        tried.append((abs(share - usage), tau))
        low, high = (tau, high) if share > usage else (low, tau)
    best = min(tried)[1]
    model.decider.set_tau(best)
    return best
