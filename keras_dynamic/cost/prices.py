"""Costs in other units than MACs: a table of what each part costs, and budgets in its unit."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.cost.nodes import Node
from keras_dynamic.messages import check_number, did_you_mean
from keras_dynamic.ops import within_budget

DECIDER = "decider"  # of a table: what making the decisions costs, in all


def priced(node: Node, table: Mapping[str, float]) -> Node:
    """Returns a cost tree in which each part costs what a table says, in place of its MACs.

    What a part costs is shared among what is inside it, such as groups of channels, in proportion to their MACs.

    Args:
        node: cost tree of a model.
        table: {part: cost of one image for which all of it runs}, in any unit, such as milliseconds (lite.part_times)
            or millijoules (lite.part_energy). Parts are those of cost.summary: 'stem', the names of units and exits,
            'head'. What gates or a policy cost stands under their own names, or 'decider' is for all of them together,
            paid by every image.

    Returns:
        Node, whose `macs` are numbers in the table's unit.

    Raises:
        ValueError: if a part is missing in the table, the table has one that the model lacks, or a cost is no number of
            at least 0.
    """
    needed = [child.name for child in node.children if _all_macs(child) and not (child.decides and DECIDER in table)]
    check_table(table, [child.name for child in node.children], needed)
    parts = tuple(_scaled(child, table.get(child.name, 0.0)) for child in node.children)
    together: Any = table.get(DECIDER, 0.0)
    return node._replace(macs=together, children=parts)


def check_table(table, names, needed):
    """Raises a ValueError unless a table has a cost for each part that needs one, and no other.

    Args:
        table: {part: cost}.
        names: of all parts.
        needed: of those that must stand in it.
    """
    twice = sorted({name for name in names if [*names, DECIDER].count(name) > 1})
    if twice:
        raise ValueError(f"a table tells parts apart by name, but the model has {twice} twice; rename such units.")
    for name, cost in table.items():
        check_number(f"the cost of {name!r}", cost)
        if name not in names and name != DECIDER:
            raise ValueError(
                f"the table has a part {name!r}, which the model lacks{did_you_mean(name, names)}; its parts are "
                f"{list(names)}; give a table that was measured with this model."
            )
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(
            f"the table lacks the parts {missing}; give what each of them costs, as lite.part_times measures it here "
            "for a model that decides its exits."
        )


def _scaled(node, cost: Any) -> Node:
    """Returns a part that costs so much with everything on, or wherever it runs if it runs only where it is off."""
    whole = node.total_macs or _all_macs(node)
    if not whole:
        return node._replace(macs=cost)

    def walk(part):
        return part._replace(macs=part.macs * cost / whole, children=tuple(walk(child) for child in part.children))

    return walk(node)


def _all_macs(node) -> int:
    return node.macs + sum(_all_macs(child) for child in node.children)


class Budget(NamedTuple):
    """What images may cost, on average, each, or both.

    Attributes:
        mean: cost per image on average; None for no such limit.
        deadline: cost that no image may exceed; None for no such limit.
        table: {part: cost}, see priced; or the cost of an image that stops at each stage, rising; None for MACs.
        unit: of all of them.
    """

    mean: float | None
    deadline: float | None
    table: Mapping[str, float] | list[float] | None
    unit: str

    def tree(self, node: Node) -> Node:
        """Returns a cost tree in the budget's unit; with a table of stages, the tree as it is."""
        return priced(node, self.table) if isinstance(self.table, Mapping) else node

    def of_stages(self, costs) -> np.ndarray:
        """Returns the costs of stopping at each stage, [..., stages]: the table's if it is one of stages, else `costs`.

        Raises:
            ValueError: if the table has another number of stages.
        """
        costs = np.asarray(costs)
        if self.table is None or isinstance(self.table, Mapping):
            return costs
        if len(self.table) != costs.shape[-1]:
            raise ValueError(
                f"a table of stages must be {costs.shape[-1]} positive numbers, rising, one for each exit or network "
                f"at which an image stops, got {self.table}; measure images that stop at each."
            )
        return np.broadcast_to(np.array(self.table), costs.shape)

    def check_given(self):
        """Raises a ValueError if there is no limit at all."""
        if self.mean is None and self.deadline is None:
            raise ValueError("a budget is macs, ms or mj, mean per image, or a deadline, got none; give one.")

    def check_least(self, least):
        """Raises a ValueError if the least that a network can do with is over the mean."""
        if self.mean is not None and not within_budget(least, self.mean):
            raise ValueError(
                f"the budget must be at least {self.text(least)} per image, the least that this network can do with on "
                f"these images, got {self.text(self.mean)}; raise it, or put a cheaper network or an exit first."
            )

    def stages_within(self, worst) -> int:
        """Returns how many stages an image may run before the deadline, all of them without one.

        Args:
            worst: what an image costs at most that stops at each stage, [stages], rising.

        Raises:
            ValueError: if the first stage is over the deadline.
        """
        if self.deadline is None:
            return len(worst)
        if not within_budget(worst[0], self.deadline):
            raise ValueError(
                f"the deadline must be at least {self.text(worst[0])}, what an image costs that stops first, got "
                f"{self.text(self.deadline)}; raise it, or put a cheaper network or an exit first."
            )
        return sum(within_budget(each, self.deadline) for each in worst)

    def text(self, cost) -> str:
        """Returns a cost in words, such as '0.312 ms'."""
        if self.table is None:
            return f"{cost:,.0f} MACs" if cost >= 10 else f"{cost:.4g} MACs"
        return f"{cost:,.4g} {self.unit}".rstrip()


def budget_of(macs=None, ms=None, mj=None, deadline=None, table=None) -> Budget:
    """Returns the Budget that a caller's arguments describe.

    Args:
        macs: MACs per image on average.
        ms: milliseconds per image on average, with a table of such.
        mj: millijoules per image on average, with a table of such.
        deadline: what no image may cost, in the table's unit, or in MACs without one.
        table: see Budget.

    Raises:
        ValueError: if more than one mean is given, table and unit do not go together, or numbers are not positive.
    """
    units = {"MACs": macs, "ms": ms, "mJ": mj}
    means = {unit: value for unit, value in units.items() if value is not None}
    if len(means) > 1:
        raise ValueError(f"a budget is one of macs, ms and mj, mean per image, got macs={macs}, ms={ms}, mj={mj}.")
    unit = next(iter(means), "" if table is not None else "MACs")
    if (unit == "MACs") == (table is not None):
        wants = "macs needs none" if unit == "MACs" else f"{unit} need one, as lite.part_times measures it"
        raise ValueError(
            f"a table says what parts cost in ms or mJ, and {wants}; got {unit} with table={table!r}: give "
            "ms=... or mj=... with a table, or macs=... alone."
        )
    mean = None if not means else check_number(unit.lower(), means[unit])
    deadline = None if deadline is None else check_number("deadline", deadline, positive=True)
    if table is not None and not isinstance(table, Mapping):
        table = _stages(table)
    return Budget(mean, deadline, table, unit)


def _stages(table) -> list[float]:
    """Returns the costs of stopping at each stage, checked."""
    found = np.asarray(list(table) if isinstance(table, Iterable) else table, float)
    if (
        found.ndim != 1
        or not len(found)
        or not np.isfinite(found).all()
        or found[0] <= 0
        or (np.diff(found) <= 0).any()
    ):
        raise ValueError(
            "table must be {part: cost}, or positive numbers, rising, one for each exit or network at which an image "
            f"stops, got {table!r}."
        )
    return found.tolist()
