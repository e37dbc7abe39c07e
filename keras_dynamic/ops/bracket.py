"""Halving: where what is spent passes a budget (plain Python)."""

from typing import Any, NamedTuple


class Spent(NamedTuple):
    """A number, and what is spent at it."""

    number: float
    spent: Any


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
    if over.spent <= budget:
        return over, over
    within = Spent(low, spent(low))
    if within.spent > budget:
        return within, within
    for _ in range(halvings):
        number = (within.number + over.number) / 2
        tried = Spent(number, spent(number))
        within, over = (tried, over) if tried.spent <= budget else (within, tried)
    return within, over
