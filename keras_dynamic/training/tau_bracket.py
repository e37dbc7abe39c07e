"""The tau at which a network passes a budget."""

import math

from keras_dynamic.ops import Spent, bracket
from keras_dynamic.training.operating_point import kept, set_tau

_FARTHEST, _HALVINGS = 12.0, 16  # log odds; probabilities are told apart that differ by 4e-4 in them


def tau_bracket(model, spent, budget) -> tuple[Spent, Spent]:
    """Finds the neighbours among a network's tau between which what is spent passes a budget; its own is kept.

    Its log odds are halved, so that gates that are nearly always open, or shut, are told apart as well as others.

    Args:
        model: built DynamicModel whose decider has tau.
        spent: function of nothing: what the model spends at the tau that is set.
        budget: what may be spent.

    Returns:
        (within, over), two Spent whose numbers are tau, as ops.bracket gives them; tau = 1 spends least, 0 most.
    """

    def at(opening):
        set_tau(model, _tau(opening))
        return spent()

    with kept(model):
        within, over = bracket(at, budget, -_FARTHEST, _FARTHEST, _HALVINGS)
    return within._replace(number=_tau(within.number)), over._replace(number=_tau(over.number))


def _tau(opening):
    """Returns the tau of a number that rises with what is run; at its ends nothing runs, or everything."""
    if abs(opening) >= _FARTHEST:
        return float(opening < 0)
    return 1 / (1 + math.exp(opening))
