"""The cost tree: what always runs and what a decision runs; its exact and expected cost, and a table of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from keras import ops


class Guard(NamedTuple):
    """The decision on which a part of the network depends.

    Attributes:
        decision: its name.
        on: whether the part runs where the decision is 1; False if it runs where it is 0.
    """

    decision: str
    on: bool = True

    def runs(self, decisions):
        """Returns 1 where the part runs and 0 elsewhere, or its probability, for {decision name: value}.

        Raises:
            KeyError: if the decision is missing.
        """
        if self.decision not in decisions:
            raise KeyError(f"decision {self.decision!r} is missing; given are {sorted(decisions)}.")
        value = decisions[self.decision]
        return value if self.on else 1 - value


class Node(NamedTuple):
    """MACs and parameters of a part of a network, with the parts inside it.

    MACs are multiply-adds of convolutions and dense layers for one image; parameters count every weight once.
    A node with `when` runs, with all its children, only for images whose decision is 1 (or 0, if not when.on).
    `exit` marks the head of an exit that nothing reads: a file that gives the last logits alone lacks it.
    `decides` marks what only makes decisions: a gate, a policy.
    """

    name: str
    macs: int = 0
    parameters: int = 0
    when: Guard | None = None
    children: tuple[Node, ...] = ()
    exit: bool = False
    decides: bool = False

    @property
    def total_macs(self) -> int:
        """MACs with every decision 1."""
        return self.macs + sum(child.total_macs for child in self.children if child.when is None or child.when.on)

    @property
    def total_parameters(self) -> int:
        """Parameters of the node and all its children."""
        return self.parameters + sum(child.total_parameters for child in self.children)

    def guards(self) -> Iterator[Guard]:
        """Yields every guard in the tree, in execution order, repeats included."""
        if self.when is not None:
            yield self.when
        for child in self.children:
            yield from child.guards()

    def without_exits(self) -> Node:
        """Returns the tree without the heads of exits that nothing reads: what runs for the last logits alone."""
        children = tuple(child.without_exits() for child in self.children if not child.exit)
        return self._replace(children=children)

    def prefixed(self, prefix: str) -> Node:
        """Returns the tree with 'prefix/' before every decision's name: a network inside a unit."""
        when = None if self.when is None else self.when._replace(decision=f"{prefix}/{self.when.decision}")
        return self._replace(when=when, children=tuple(child.prefixed(prefix) for child in self.children))


def given(node: Node, decisions) -> np.ndarray:
    """Returns the exact MACs of each image under given decisions.

    Args:
        node: cost tree.
        decisions: {name: 0/1 array [n] or [n, groups]}, one entry for every guard in the tree.

    Returns:
        int64 array, [n]; of shape [1] for a tree without guards. float64 for a tree in another unit, see priced.

    Raises:
        KeyError: if a decision is missing.
    """
    columns = {name: np.asarray(value).round().astype(np.int64) for name, value in decisions.items()}
    images = max([len(value) for value in columns.values()], default=1)

    def walk(part):
        macs = np.full(images, part.macs)
        for child in part.children:
            macs = macs + walk(child)
        return macs if part.when is None else macs * part.when.runs(columns)

    return walk(node)


def expected(node: Node, decisions):
    """Returns MACs, or another cost of a priced tree, over that of everything on, differentiable in the decisions.

    Args:
        node: cost tree.
        decisions: {name: float tensor [batch]}: decisions in {0, 1} give the exact fraction, probabilities of
            independent decisions its expectation; of one inside another, given that the other is 1.

    Returns:
        float32 tensor, [batch]; a scalar 1. for a tree without guards.

    Raises:
        KeyError: if a decision is missing.
    """
    total = node.total_macs or 1

    def walk(part, above):
        fixed = part.macs + sum(child.total_macs for child in part.children if not any(True for _ in child.guards()))
        value = fixed / total
        for child in part.children:
            if any(True for _ in child.guards()):
                value = value + walk(child, (*above, part.when))
        return value if part.when is None or part.when in above else part.when.runs(decisions) * value

    return ops.convert_to_tensor(walk(node, ()), "float32")


def parts(node: Node) -> list[tuple[int, tuple[Guard, ...]]]:
    """Flattens a tree to (MACs, guards under which they run), one entry per distinct set of guards, unguarded first.

    Args:
        node: cost tree.

    Returns:
        List of (int, tuple of Guard); entries with 0 MACs are left out, the unguarded one always stands.
    """
    table: dict[tuple[Guard, ...], int] = {(): 0}

    def walk(part, guards):
        guards = guards if part.when is None or part.when in guards else (*guards, part.when)
        table[guards] = table.get(guards, 0) + part.macs
        for child in part.children:
            walk(child, guards)

    walk(node, ())
    return [(macs, guards) for guards, macs in table.items() if macs or not guards]


def greatest_common_unit(node: Node) -> int:
    """Returns the greatest common divisor of all parts' MACs, the unit in which an int32 sum of MACs stays small."""
    return math.gcd(*(macs for macs, _ in parts(node))) or 1
