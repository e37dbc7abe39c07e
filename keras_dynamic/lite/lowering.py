"""What becomes of a unit's channel groups in a .tflite: IFs, or masks where IFs would not pay."""

from typing import Any, NamedTuple

import keras

from keras_dynamic.cost import Guard, parts
from keras_dynamic.layers.slim import slim_paths

FOLD = ("auto", "never")

# Measured on LiteRT with XNNPACK, one thread: units of two 3x3 convolutions, half of their groups on, against the whole
# unit. Groups of fewer filters, or of less work, save less than half of what their MACs promise: two slim convolutions,
# an ADD and an IF stand in for part of two large ones.
LEAST_FILTERS = 16
LEAST_MACS = 100_000


class Lowered(NamedTuple):
    """A unit with decided channel groups, as it goes into the file.

    Attributes:
        names: the decisions that its groups obey, one for each of unit.group_names.
        paths: layers that add up to the unit's body, see layers.slim.slim_paths.
        why: what speaks against IFs, '' if they pay; then the groups are computed together, under masks.
    """

    names: tuple[str, ...]
    paths: list[keras.Sequential]
    why: str


def lower_groups(model, fold="auto", prefix="") -> dict[str, Lowered]:
    """Decides, for each unit with decided channel groups, whether they become IFs.

    Groups pay if each has at least LEAST_FILTERS filters and LEAST_MACS MACs. A unit whose groups do not is folded,
    unless one that obeys the same decisions is not.

    Args:
        model: built DynamicModel.
        fold: 'auto', or 'never' to make IFs of all groups.
        prefix: before the names of units and decisions, of a network inside a unit.

    Returns:
        {unit name: Lowered}; those of networks inside units as 'unit/unit'.

    Raises:
        ValueError: if groups do not add up, see layers.slim.slim_paths.
    """
    found: dict[str, Lowered] = {}
    for unit, spec in zip(model.chain.units, model.chain.input_specs, strict=True):
        names = [model.decider.decision_of(name) for name in getattr(unit, "group_names", ())]
        if any(name in model.decider.names for name in names):
            why = _why_not(unit, spec) if fold == "auto" else ""
            found[prefix + unit.name] = Lowered(
                tuple(prefix + name for name in names), slim_paths(unit.body, spec), why
            )
        if getattr(unit, "nested", False):
            found |= lower_groups(unit.network, fold, f"{prefix}{unit.name}/")
    paying = {name for lowered in found.values() if not lowered.why for name in lowered.names}
    return {
        unit: lowered._replace(why="") if paying & set(lowered.names) else lowered for unit, lowered in found.items()
    }


def _why_not(unit, spec) -> str:
    """Returns what speaks against IFs for a unit's groups, '' if nothing does."""
    filters = unit.body.granularity
    if filters < LEAST_FILTERS:
        return f"groups of {filters} filters, fewer than {LEAST_FILTERS}, do not pay"
    guards = tuple(map(Guard, unit.group_names))
    macs = min(macs for macs, under in parts(unit.cost_node(spec, None, guards)) if under)
    if macs < LEAST_MACS:
        return f"groups of {macs:,} MACs, fewer than {LEAST_MACS:,}, do not pay"
    return ""


def notes(lowered: dict[str, Lowered], masked: Any) -> list[str]:
    """Returns a sentence for each unit that was folded.

    Args:
        lowered: what lower_groups returned.
        masked: names of the units that were computed under masks.
    """
    return [
        f"unit {name!r} has no IFs for its {len(lowered[name].names)} groups of channels, which are computed together "
        f"under masks and always count: {lowered[name].why}; fold='never' makes IFs of them."
        for name in masked
    ]
