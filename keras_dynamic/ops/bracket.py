"""What is within a budget, and halving: where what is spent passes it (plain Python)."""

from typing import Any, NamedTuple

_ROUNDING = 1e-9  # of the budget; the mean of a thousand times 0.4 is more than 0.4


class Spent(NamedTuple):
    """A number, and what is spent at it."""

    number: float
    spent: Any


def within_budget(spent, budget) -> bool:
    """Returns whether what is spent is no more than a budget, but for rounding.

    Args:
        spent: number, such as a mean over images.
        budget: what may be spent, in the same unit.
    """
    return bool(spent <= budget + _ROUNDING * abs(budget))


def bracket(spent, budget, low, high, halvings) -> tuple[Spent, Spent]:
    """Returns the neighbours between which what is spent passes a budget.

    Args:
        spent: function of a number in [low, high]; it rises, or nearly so.
        budget: what may be spent.
        low: number at which least is spent.
        high: number at which most is spent.
        halvings: how often the range is halved.

    Returns:
        (within, over), two Spent: the first is within the budget and the second is not. Both are `high` if that is
        within the budget, both `low` if not even that is.
    """
    over = Spent(high, spent(high))
    if within_budget(over.spent, budget):
        return over, over
    within = Spent(low, spent(low))
    if not within_budget(within.spent, budget):
        return within, within
    for _ in range(halvings):
        number = (within.number + over.number) / 2
        tried = Spent(number, spent(number))
        within, over = (tried, over) if within_budget(tried.spent, budget) else (within, tried)
    return within, over
