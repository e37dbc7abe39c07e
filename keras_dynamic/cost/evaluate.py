"""What given decisions cost: exactly, and differentiably."""

import math

import numpy as np
from keras import ops

from keras_dynamic.cost.node import Guard, Node


def given(node: Node, decisions) -> np.ndarray:
    """Returns the exact MACs of each image under given decisions.

    Args:
        node: cost tree.
        decisions: {name: 0/1 array [n] or [n, groups]}, one entry for every guard in the tree.

    Returns:
        int64 array, [n]; of shape [1] for a tree without guards.

    Raises:
        KeyError: if a decision is missing.
    """
    columns = {name: np.asarray(value).round().astype(np.int64) for name, value in decisions.items()}
    images = max([len(value) for value in columns.values()], default=1)

    def walk(part):
        macs = np.full(images, part.macs, np.int64)
        for child in part.children:
            macs = macs + walk(child)
        return macs if part.when is None else macs * part.when.runs(columns)

    return walk(node)


def expected(node: Node, decisions):
    """Returns MACs over the MACs of everything on, differentiable in the decisions.

    Args:
        node: cost tree.
        decisions: {name: float tensor [batch]}: decisions in {0, 1} give the exact fraction, probabilities of
            independent decisions its expectation; of one inside another, given that the other is 1.

    Returns:
        float32 tensor, [batch]; a scalar 1. for a tree without guards.

    Raises:
        KeyError: if a decision is missing.
    """
    total = max(node.total_macs, 1)

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
