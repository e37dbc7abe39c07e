"""What becomes of a unit's channel groups in a .tflite: IFs, or masks where IFs would not pay."""

from dataclasses import dataclass, field
from typing import Any

from keras_dynamic.cost import Guard, parts
from keras_dynamic.layers.grouped_body import GroupedBody

FOLD = ("auto", "never")

# Measured on LiteRT with XNNPACK, one thread (jobs/channel_latency): units of two 3x3 convolutions with half of their
# groups on, against the whole unit. Groups of fewer filters, or of less work, save less than half of what their MACs
# promise: two slim convolutions, an ADD and an IF stand in for part of two large ones.
LEAST_FILTERS = 16
LEAST_MACS = {None: 100_000, "int8": 500_000}


@dataclass(frozen=True)
class Lowered:
    """A unit with decided channel groups, as it goes into the file.

    Attributes:
        body: the unit's body.
        spec: of the unit's input.
        names: the decisions that its groups obey, one for each of unit.group_names.
        switched: those that become IFs; the others multiply channels, as in the masked reading.
        why: what speaks against IFs for its groups; '' if nothing does.
    """

    body: GroupedBody
    spec: Any
    names: tuple[str, ...]
    switched: tuple[str, ...]
    why: str
    _made: list = field(default_factory=list)  # a graph does not keep the variables alive that it reads

    def paths(self, known):
        """Returns layers that add up to the body's total, made outside of the graph that is being traced.

        Args:
            known: as of layers.GroupedBody.paths.

        Raises:
            ValueError: if groups do not add up, see layers.GroupedBody.paths.
        """
        return self._outside(lambda: self.body.paths(self.spec, known))

    def kept(self, runs):
        """Returns layers that do what the body does if these groups run for all images, made likewise.

        Args:
            runs: True or False, for each of names.
        """
        return self._outside(lambda: self.body.kept(self.spec, runs))

    def _outside(self, make):
        import tensorflow as tf

        with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():  # the traced graph forbids variables
            made = make()
        self._made.extend(made)
        return made


def lower_groups(model, quantize=None, fold="auto", prefix="") -> dict[str, Lowered]:
    """Decides, for each unit with decided channel groups, which decisions become IFs.

    Groups pay if each has at least LEAST_FILTERS filters and LEAST_MACS MACs, connections if they have as many input
    channels too. Those of a unit that do not are folded, unless they obey decisions that other units' groups obey which
    do. Groups of input and output channels are always folded: there is no sum form for them.

    Args:
        model: built DynamicModel.
        quantize: None or 'int8'.
        fold: 'auto', or 'never' to make IFs of groups that do not pay, too.
        prefix: before the names of units and decisions, of a network inside a unit.

    Returns:
        {unit name: Lowered}; those of networks inside units as 'unit/unit'.
    """
    decided, reasons = {}, {}
    found: dict[str, Lowered] = {}
    for unit, spec in zip(model.chain.units, model.chain.input_specs, strict=True):
        _, *names = model.decider.decisions_of(unit)
        if any(name in model.decider.names for name in names):
            decided[unit.name] = (unit, spec, [prefix + name for name in names])
            reasons[unit.name] = _why_not(unit.body, spec, quantize) if fold == "auto" else ""
        if getattr(unit, "nested", False):
            found |= lower_groups(unit.network, quantize, fold, f"{prefix}{unit.name}/")
    paying = {
        name for unit, _, names in decided.values() if not reasons[unit.name] for name in unit.body.split(names)[1]
    }
    for unit, spec, names in decided.values():
        groups = unit.body.split(names)[1]
        switched = groups if paying & set(groups) else []
        why = "" if switched else reasons[unit.name]
        found[prefix + unit.name] = Lowered(unit.body, spec, tuple(names), tuple(switched), why)
    return found


def _why_not(body, x, quantize) -> str:
    """Returns what speaks against IFs for a body's groups, '' if nothing does."""
    inputs, groups, outputs = body.split(body.labels)
    if not groups:
        return ""
    if body.narrowest < LEAST_FILTERS:
        return f"groups of {body.narrowest} filters, fewer than {LEAST_FILTERS}, do not pay"
    guards = [None] * len(inputs) + [Guard(label) for label in groups] + [None] * len(outputs)
    macs = min((macs for macs, under in parts(body.cost_node(x, guards)) if under), default=LEAST_MACS[quantize])
    if macs < LEAST_MACS[quantize]:
        return f"groups of {macs:,} MACs, fewer than {LEAST_MACS[quantize]:,}, do not pay"
    return ""


def note(name, lowered, masked) -> str:
    """Returns the sentence on a unit some of whose decisions became masks.

    Args:
        name: the unit's.
        lowered: the unit's Lowered.
        masked: names of these decisions.
    """
    own = set(masked) & set(lowered.body.split(lowered.names)[1])
    reasons = [f"{lowered.why} (fold='never' makes IFs of those)"] if lowered.why and own else []
    if any("[in" in each or "[out" in each for each in masked):
        reasons.append("input and output channels have no IFs")
    return (
        f"unit {name!r} has masks, not IFs, for {len(masked)} of its {lowered.body.pieces} of channels, whose MACs "
        f"always count: {'; '.join(reasons)}."
    )
