"""The cost tree: what is always run, and what is run if a decision says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


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
    A node with `when` runs, with all its children, only for images whose decision is 1 (or 0, if the guard says so).
    `exit` marks the head of an exit that nothing reads: a file that gives the last logits alone lacks it.
    """

    name: str
    macs: int = 0
    parameters: int = 0
    when: Guard | None = None
    children: tuple[Node, ...] = ()
    exit: bool = False

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
