"""The names by which a decision is known in a .tflite: TensorFlow scopes before outlining, subgraph names after."""

import re

_SCOPE = re.compile(r"kd_decision_(\d+)")
_UNIT = re.compile(r"kd_unit_(\d+)")
_BRANCH = re.compile(r"decision_(\d+)_(then|else)(?:_\d+)?")


def decision_scope(index: int) -> str:
    """Returns the TensorFlow name scope under which the condition of a decision is computed."""
    return f"kd_decision_{index}"


def decision_of_tensor(name: str) -> int | None:
    """Returns the index of the decision in whose scope a tensor was made, None if in none.

    The converter joins the names of fused operations with ';', the result's first; the others may be constants that
    it shares between decisions.
    """
    found = [_SCOPE.findall(part) for part in name.split(";")]
    return next((int(part[-1]) for part in found if part), None)


def branch_name(index: int, side: str, ordinal: int = 1) -> str:
    """Returns the name of a branch subgraph.

    Args:
        index: the decision's index.
        side: 'then' or 'else'.
        ordinal: counts the IFs of one decision, from 1, in order of execution.
    """
    return f"decision_{index}_{side}" + (f"_{ordinal}" if ordinal > 1 else "")


def decision_of_branch(name: str) -> int | None:
    """Returns the index of the decision whose branch a subgraph is, by its name; None if of none."""
    match = _BRANCH.fullmatch(name)
    return int(match.group(1)) if match else None


def unit_scope(index: int) -> str:
    """Returns the TensorFlow name scope under which a unit of the chain is traced."""
    return f"kd_unit_{index}"


def unit_of_tensor(name: str) -> int | None:
    """Returns the index of the unit in whose scope a tensor was made, by the first of its joined names that tells."""
    found = [_UNIT.findall(part) for part in name.split(";")]
    return next((int(part[0]) for part in found if part), None)
