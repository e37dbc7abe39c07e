"""Which parts of a chain must be computed before an image may stop at an exit."""

from typing import Any, NamedTuple

from keras_dynamic.cost import Node
from keras_dynamic.layers.constant_variables import images_have_budgets
from keras_dynamic.layers.exits import reads_previous


class LeafPart(NamedTuple):
    """What one leaf of a layer's output costs, and of which leaves of its input it is made.

    Layers on a dictionary may have `leaf_parts(x)`, which returns {leaf: LeafPart} for the specs of their input: then a
    leaf that nothing reads before an exit is computed after it, in files and in costs, and one that nothing reads is
    never computed.
    """

    node: Node
    reads: tuple[str, ...]


class Liveness(NamedTuple):
    """After how many of the exits with decisions a step of a chain runs.

    Attributes:
        exits: number of these exits that an image must have passed.
        leaves: {leaf: likewise} of a layer that has leaf_parts, without leaves that nothing reads; None of others.
        read: for an exit, whether its logits are needed for images that do not stop there.
    """

    exits: int
    leaves: dict[str, int] | None = None
    read: bool = False


def liveness_of(chain, decider) -> list[Liveness]:
    """Returns the Liveness of each of chain.steps(), found from the end: which later step reads it, and when.

    Args:
        chain: Chain, built.
        decider: Decider with names for it.
    """
    steps, specs = chain.steps(), chain.input_specs
    decided = decided_exits(chain, decider)
    found: list[Any] = [None] * len(steps)
    wanted = _of(getattr(chain.head, "leaf", None), len(decided), chain.output_of(len(chain.units) - 1))
    head, computed = chain.head, True  # the next classifier, and whether its logits are needed
    for place in range(len(steps) - 1, -1, -1):
        step = steps[place]
        if step.exit is not None:
            name = step.exit.name
            passed = sum(each.exit is not None and each.exit.name in decided for each in steps[:place])
            later = computed and reads_previous(head)
            compared = name in decided and decider.constant(name) is not True and decider.reads_logits(name)
            read = later or compared
            computed, head = read or name in decided, step.exit.head
            if computed:
                for leaf, count in _of(step.exit.leaf, passed, chain.output_of(step.place)).items():
                    wanted[leaf] = min(wanted.get(leaf, count), count)
            found[place] = Liveness(passed, read=read)
            continue
        if hasattr(step.unit, "leaf_parts"):
            parts = step.unit.leaf_parts(specs[step.place])
            leaves = {leaf: wanted[leaf] for leaf in parts if leaf in wanted}
            wanted = {}
            for leaf in leaves:
                for source in parts[leaf].reads:
                    wanted[source] = min(wanted.get(source, leaves[leaf]), leaves[leaf])
            found[place] = Liveness(min(leaves.values()), leaves)
        else:
            first = min(wanted.values())
            wanted = _of(None, first, specs[step.place])
            found[place] = Liveness(first)
    return found


def decided_exits(chain, decider) -> list[str]:
    """Returns the names of the exits at which images may stop, in order."""
    limited, own = images_have_budgets(), [name for name in chain.exit_names if name in decider.names]
    return [name for name in own if limited or decider.constant(name) is not True]


def _of(leaf, count, x) -> dict:
    """Returns {leaf: count} of the leaf that is read of x, or of all if none is named."""
    names = [leaf] if leaf is not None else (list(x) if isinstance(x, dict) else [None])
    return dict.fromkeys(names, count)
