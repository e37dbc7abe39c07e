"""What images cost that stop at an exit, also while only some of their decisions are made, and stops within a limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.cost.nodes import Node, parts


class Row(NamedTuple):
    """Part of what an image costs.

    Attributes:
        macs: of the part.
        decisions: names of those that must all be 1 for it to run.
    """

    macs: int
    decisions: tuple[str, ...]


def costs_of_stops(node: Node, exits: Sequence[str]) -> list[tuple[Row, ...]]:
    """Returns what an image costs that stops at each exit, and one that stops at none, as rows that add up.

    What runs only where another decision is 0 counts always.

    Args:
        node: cost tree of a model that decides these exits.
        exits: their names, in order of execution.
    """
    place = {name: index for index, name in enumerate(exits)}
    found = []
    for stop in range(len(exits) + 1):
        rows: dict[tuple[str, ...], int] = {}
        for macs, guards in parts(node):
            if all((place[guard.decision] < stop) is guard.on for guard in guards if guard.decision in place):
                names = tuple(guard.decision for guard in guards if guard.decision not in place and guard.on)
                rows[names] = rows.get(names, 0) + macs
        found.append(tuple(Row(macs, names) for names, macs in rows.items() if macs))
    return found


def most(rows: Sequence[Row], decisions: Mapping[str, Any]) -> Any:
    """Returns the sum of rows, as if all decisions that have not been made yet were 1.

    Args:
        rows: of one stop.
        decisions: {name: 0 or 1, or array or tensor of such}, those made so far.

    Returns:
        A number, or an array or tensor as the decisions are.
    """
    total: Any = 0
    for row in rows:
        total = total + math.prod([row.macs, *(decisions[name] for name in row.decisions if name in decisions)])
    return total


def stops_within(node: Node, exits: Sequence[str], decisions: Mapping[str, np.ndarray], limit) -> np.ndarray:
    """Returns the exit at which each image stops that goes on as long as a limit allows.

    An image goes on after an exit if what it has spent, and the most that it can still spend until it may stop again,
    is within the limit; if the first exit is over the limit already, it stops there.

    Args:
        node: cost tree of a model that decides these exits.
        exits: their names, in order of execution.
        decisions: {name: 0/1 array [n]} of images that run to the end; in order of execution, the exits among them.
        limit: MACs that no image may exceed.

    Returns:
        int array [n]: index of the exit, the number of exits for those that stop at none.
    """
    costs, names = costs_of_stops(node, exits), list(decisions)
    going = np.ones(len(next(iter(decisions.values()))), bool)
    at = np.zeros(len(going), int)
    for stop, name in enumerate(exits, 1):
        made = {each: decisions[each] for each in names[: names.index(name)]}
        going = going & (most(costs[stop], made) <= limit)
        at += going
    return at
