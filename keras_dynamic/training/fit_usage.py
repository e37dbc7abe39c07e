"""One trained network, many operating points: the threshold at which a given share of units runs."""

import numpy as np

from keras_dynamic.messages import check_fraction
from keras_dynamic.ops import check_images
from keras_dynamic.training.evaluate import compiled_outcome, evaluate
from keras_dynamic.training.operating_point import set_tau, with_tau
from keras_dynamic.training.tau_bracket import tau_bracket


def fit_usage(model, x, usage, outcome=None) -> float:
    """Sets a decider's tau so that on these images the mean share of units that run comes nearest to `usage`.

    fit_budget does the same for a budget of MACs.

    Args:
        model: built DynamicModel whose decider compares probabilities with tau: gates, or a policy.
        x: held-out images, [n, height, width, channels]; no labels are needed.
        usage: share of the decided units, in [0, 1].
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        tau.

    Raises:
        ValueError: if usage is outside [0, 1], the decider has no tau, or images are missing or not
            finite.
    """
    usage = check_fraction("usage", usage)
    if not with_tau(model):
        raise ValueError(
            f"usage is fitted by a decider's tau, which {type(model.decider).__name__} lacks; give a model with gates "
            "or a policy."
        )
    check_images(x)
    outcome = compiled_outcome(model) if outcome is None else outcome
    names = [name for each in with_tau(model) for name in each.names]

    def share():
        decisions = evaluate(model, x, outcome=outcome).decisions
        return float(np.mean([decisions[name] for name in names]))

    nearest = min(tau_bracket(model, share, usage), key=lambda each: abs(each.spent - usage))
    set_tau(model, nearest.number)
    return nearest.number
